// What stands in the box of each conversation and was not sent. Kept in this browser only.

import { state } from '../state.js';
import { setItem } from '../storage/areas.js';
import { localArea, tabArea } from '../storage/records.js';

const WAIT = 300;

/** Drafts that were read or written, by their names; what a full storage refuses is here alone. */
const drafts = new Map();

// The draft of a conversation that is not begun belongs to the tab, as nothing else names it.
const isBegun = (id) => state.conversations.has(id);
const nameOf = (id) => `chat.draft.${isBegun(id) ? id : 'new'}`;
const areaOf = (id) => (isBegun(id) ? localArea() : tabArea());

export function draftOf(id = state.current) {
  const name = nameOf(id);
  if (!drafts.has(name)) drafts.set(name, areaOf(id).getItem(name) ?? '');
  return drafts.get(name);
}

/** Drafts that are not written yet. @type {Map<string, ReturnType<typeof areaOf>>} */
const unwritten = new Map();
const timers = { write: 0 };

export function keepDraft(text, id = state.current) {
  drafts.set(nameOf(id), text);
  unwritten.set(nameOf(id), areaOf(id));
  if (!timers.write) timers.write = setTimeout(writeDrafts, WAIT);
}

/** Write what was typed last. */
export function writeDrafts() {
  clearTimeout(timers.write);
  timers.write = 0;
  for (const [name, area] of unwritten) {
    if (drafts.get(name)) setItem(area, name, drafts.get(name));
    else area.removeItem(name);
  }
  unwritten.clear();
}

export function forgetDraft(id) {
  drafts.delete(`chat.draft.${id}`);
  unwritten.delete(`chat.draft.${id}`);
  localArea().removeItem(`chat.draft.${id}`);
}
