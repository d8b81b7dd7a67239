// Acts on conversations and their list: open, begin, rename, pin, delete, restore.

import { newId } from '../ids.js';
import {
  dropConversation,
  notice,
  patchConversation,
  releaseMessages,
  setCurrent,
  setMessages,
  setUi,
  state,
} from '../state.js';
import { deleteConversation, loadMessages, localArea, storeConversation, tabArea } from '../storage/records.js';
import { t } from '../words.js';
import { forgetDraft } from './drafts.js';
import { tellTabs } from './tabs.js';

const UNDO_SECONDS = 10;

/**
 * Change a conversation here, in the records and in the other tabs.
 *
 * @param {string} id
 * @param {Partial<Conversation> | ((stored: Partial<Conversation>) => Partial<Conversation>)} change
 * @param {string[]} messages that have changed with it
 */
export async function changeConversation(id, change, messages = []) {
  const changeOf = typeof change === 'function' ? change : () => change;
  patchConversation(id, changeOf(state.conversations.get(id) ?? {}));
  const stored = await storeConversation(id, changeOf);
  if (typeof change === 'function' && state.conversations.has(id)) patchConversation(id, stored);
  tellTabs({ conversation: id, messages });
}

/** @typedef {import('../tree.js').Conversation} Conversation */

/** Those that are shown in the list, the latest first. */
export const listed = () =>
  [...state.conversations.values()].filter((each) => each.title && !each.deletedAt).sort((a, b) => b.at - a.at);

export const currentConversation = () => state.conversations.get(state.current);

/** Show a conversation; returns when its messages are there. */
export async function openConversation(id) {
  tabArea().setItem('chat.current', id);
  localArea().setItem('chat.last', id);
  if (state.conversations.has(id) && !state.messages.has(id)) setMessages(id, await loadMessages(id));
  setCurrent(id);
  if (state.conversations.has(id)) markRead(id);
  releaseMessages(new Set([id, ...[...state.live.values()].map((live) => live.conversation)]));
}

export const freshConversation = () => openConversation(newId());

/** Its answers were seen up to now. */
export function markRead(id) {
  const { endedAt = 0, readAt = 0 } = state.conversations.get(id) ?? {};
  if (endedAt > readAt) changeConversation(id, { readAt: Date.now() });
}

export const isUnread = ({ endedAt = 0, readAt = 0 }) => endedAt > readAt;

export function rename(id, title) {
  const line = title.replace(/\s+/g, ' ').trim().slice(0, 100);
  setUi({ renaming: '' });
  if (line) return changeConversation(id, { title: line, named: true });
}

export const pin = (id, pinned) => changeConversation(id, { pinned });

/** Delete conversations after some seconds in which that can be undone. @param {string[]} ids */
export async function removeConversations(ids) {
  const deletedAt = Date.now();
  const current = ids.includes(state.current);
  for (const id of ids) await changeConversation(id, { deletedAt });
  setUi({ selecting: false, selected: new Set() });
  if (current) await freshConversation();
  notice(t('list.deleted', { count: ids.length }), t('action.undo'), () => restoreConversations(ids, current));
  setTimeout(purge, 1000 * UNDO_SECONDS + 50);
}

async function restoreConversations(ids, open) {
  for (const id of ids) await changeConversation(id, { deletedAt: undefined });
  if (open) await openConversation(ids[0]);
}

/** What stops the answers of a conversation that goes. */
let stopAnswersOf = (_conversation) => {};
export const whenPurging = (stop) => {
  stopAnswersOf = stop;
};

/** Delete for good what was deleted long enough ago. */
export async function purge() {
  const due = Date.now() - 1000 * UNDO_SECONDS;
  const gone = [...state.conversations.values()].filter(({ deletedAt }) => deletedAt && deletedAt <= due);
  for (const { id } of gone) {
    stopAnswersOf(id);
    dropConversation(id);
    forgetDraft(id);
    await deleteConversation(id);
    tellTabs({ conversation: id, messages: [] });
  }
}
