// Follows the answers of this browser's conversations, and keeps what comes of them.

import { wasCut } from '../context_use.js';
import { estimateTokens } from '../files/budget.js';
import { messagesFor } from '../history.js';
import { ENDS, ending, newLive, updated } from '../live.js';
import { call } from '../server/api.js';
import { followAnswer, startFollower, unfollow } from '../server/follower.js';
import {
  dropLive,
  dropMessages,
  markStopping,
  putHtml,
  putLive,
  putMessage,
  setMessages,
  setReached,
  state,
} from '../state.js';
import {
  deleteMessages,
  deletePart,
  htmlChange,
  loadMessages,
  loadParts,
  partChange,
  storeMessages,
  storePart,
} from '../storage/records.js';
import { branch } from '../tree.js';
import { wrapperFor } from './attachments.js';
import { learnFrom, learntOf } from './learning.js';
import { changeConversation, markRead, whenPurging } from './conversations.js';
import { draftOf, keepDraft } from './drafts.js';
import { withPictures } from './pictures.js';

/** @typedef {import('../tree.js').Message} Message */

const PART_EVERY = 1000;
/** When the part of an answer was last kept. @type {Map<string, number>} */
const keptAt = new Map();
let whenEnded = (_message) => {};

/** @param {{ended: (message: Message) => void}} functions called with the message of an answer that has ended */
export function startAnswers({ ended }) {
  whenEnded = ended;
  startFollower({ turnOf, update: take, refused, lost: () => setReached(false) });
  whenPurging((id) => {
    for (const live of liveOf(id)) stopAnswer(live.id);
  });
}

const liveOf = (conversation) => [...state.live.values()].filter((live) => live.conversation === conversation);

/** Follow all answers that are being written for this browser. */
export async function followRunning() {
  for (const part of await loadParts()) {
    if (state.live.has(part.id)) continue;
    const messages = await messagesOf(part.conversation);
    if (messages.get(part.id)?.end === 'running') follow(part);
    else if (state.conversations.has(part.conversation)) await deletePart(part.id);
  }
}

/** The messages of a conversation, brought into the state if they are not there. */
async function messagesOf(id) {
  if (!state.messages.has(id)) setMessages(id, await loadMessages(id));
  return state.messages.get(id) ?? new Map();
}

function follow(part) {
  if (state.live.has(part.id)) return;
  putLive(newLive(part.id, part.conversation, Date.now(), part));
  followAnswer(part.id);
}

/** What the server is sent: the whole conversation until it has begun, and then only the name of the answer. */
async function turnOf(id) {
  const live = state.live.get(id);
  if (!live) return null;
  const messages = await messagesOf(live.conversation);
  const message = messages.get(id);
  if (!message || message.seen || live.content.text || live.thinking.text) return { id };
  const path = branch(messages, message.parent);
  const sent = messagesFor(path, wrapperFor(path, message.ask?.model));
  return { id, start: true, ...message.ask, messages: await withPictures(sent, message.ask?.model) };
}

function take(update) {
  const live = state.live.get(update.id);
  if (!live) return;
  const next = updated(live, update, Date.now());
  if (ENDS.has(update.state)) {
    finish(next, update);
    return;
  }
  putLive(next);
  markSeen(next);
  // Stop was pressed before the server knew of the answer.
  if (state.ui.stopping.has(next.id) && live.state === 'sending') stopAnswer(next.id);
  if (Date.now() - (keptAt.get(next.id) ?? 0) > PART_EVERY) keepPart(next);
}

function keepPart({ id, conversation, thinking, content, thought }) {
  if (!thinking.text && !content.text) return;
  keptAt.set(id, Date.now());
  storePart({ id, conversation, thinking: thinking.text, content: content.text, thought });
}

/** Keep what was seen of all answers. */
export const keepParts = () => [...state.live.values()].forEach(keepPart);

function markSeen({ id, conversation }) {
  const message = state.messages.get(conversation)?.get(id);
  if (!message || message.seen) return;
  const { ask: _, ...seen } = message;
  putMessage({ ...seen, seen: true });
  storeMessages([{ ...seen, seen: true }]);
}

async function finish(live, update) {
  const id = live.conversation;
  unfollow(live.id);
  keptAt.delete(live.id);
  const message = (await messagesOf(id)).get(live.id);
  if (!message || !state.conversations.has(id)) {
    dropLive(live.id);
    return;
  }
  if (update.code === 'unauthorized' && !message.seen) {
    await takeBack(message);
    return;
  }
  const { ask: _, seen: __, ...kept } = message;
  const ended = checked({ ...kept, ...ending(live, update) });
  const changes = [partChange(live.id)];
  if (live.content.blocks.length || live.thinking.blocks.length) {
    const html = { thinking: live.thinking.blocks, content: live.content.blocks, renderer: state.site.renderer };
    putHtml(live.id, html);
    changes.push(htmlChange(ended, html));
  }
  putMessage(ended);
  dropLive(live.id);
  const now = Date.now();
  await storeMessages([ended], changes);
  // Another tab that follows the same answer may have been first.
  const first = (stored) => (stored.lastAnswer === live.id ? {} : { lastAnswer: live.id, endedAt: now, at: now });
  await changeConversation(id, first, [ended.id]);
  if (id === state.current && !document.hidden) markRead(id);
  whenEnded(ended);
}

/** An answer with what its counts say of the prompt. @param {Message} answer @returns {Message} */
function checked(answer) {
  const path = branch(state.messages.get(answer.conversation) ?? new Map(), answer.parent);
  const wrap = wrapperFor(path, answer.model);
  const prompt = path.map(wrap).join('\n');
  const estimated = estimateTokens(prompt, learntOf(answer.model).ratio);
  const cut = wasCut({ estimated, read: answer.stats?.prompt_tokens, context: answer.context });
  learnFrom({ ...answer, cut }, prompt, path.length === 1);
  return cut ? { ...answer, cut } : answer;
}

/** The key is not valid and nothing was begun: the message goes back into the box. */
async function takeBack(message) {
  const id = message.conversation;
  const question = state.messages.get(id)?.get(message.parent);
  const gone = [message, question].filter(Boolean);
  dropLive(message.id);
  dropMessages(
    id,
    gone.map((each) => each.id),
  );
  await deleteMessages(gone);
  keepDraft([question?.text, draftOf(id)].filter(Boolean).join('\n'), id);
  await changeConversation(
    id,
    { head: question?.parent ?? null },
    gone.map((each) => each.id),
  );
  whenEnded({ ...message, code: 'unauthorized' });
}

function refused(id, words, code) {
  const live = state.live.get(id);
  if (live) finish(live, { id, state: 'failed', error: words, code });
}

/** End an answer now. What was written is kept. */
export function stopAnswer(id) {
  markStopping(id);
  call('stop', [id]).catch(() => {});
}

/**
 * Store messages, the last of which is an answer that is to come, and follow that.
 *
 * @param {string} id of the conversation
 * @param {object} change of the conversation
 * @param {Message[]} added
 */
export async function begin(id, change, added) {
  const answer = added.at(-1);
  const part = { id: answer.id, conversation: id };
  for (const message of added) putMessage(message);
  const stored = storeMessages(added, [partChange(answer.id, part)]);
  const ids = added.map((each) => each.id);
  const changed = changeConversation(id, { ...change, head: answer.id, at: answer.at, deletedAt: undefined }, ids);
  follow(part);
  await Promise.all([stored, changed]);
}

/** Another tab has changed a conversation: end here what has ended there, and follow what has begun. */
export async function reconcile(id) {
  const messages = state.messages.get(id);
  for (const live of liveOf(id)) {
    if (messages && messages.get(live.id)?.end === 'running') continue;
    unfollow(live.id);
    dropLive(live.id);
  }
  await followRunning();
  if (id === state.current && !document.hidden) markRead(id);
}
