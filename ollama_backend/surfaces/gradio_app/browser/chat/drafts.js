// What stands in the box of each conversation and was not sent. Written at once, and into this browser only.

import { state } from '../state.js';
import { setItem } from '../storage/areas.js';
import { localArea, tabArea } from '../storage/records.js';

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

export function keepDraft(text, id = state.current) {
  drafts.set(nameOf(id), text);
  if (text) setItem(areaOf(id), nameOf(id), text);
  else areaOf(id).removeItem(nameOf(id));
}

export function forgetDraft(id) {
  drafts.delete(`chat.draft.${id}`);
  localArea().removeItem(`chat.draft.${id}`);
}
