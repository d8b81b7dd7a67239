// An answer while it is written, as the server's updates make it.

/**
 * A growing text and its HTML. `restarts` and `tails` count how often all of it, and how often its tail was replaced.
 *
 * @typedef {{text: string, blocks: string[], tail: string, appended: string, restarts: number, tails: number}} LiveText
 *
 * @typedef {object} Live
 * @property {string} id
 * @property {string} conversation
 * @property {string} state `sending` until the server has answered
 * @property {number} since when it came into its state, in milliseconds
 * @property {number} position in the line
 * @property {string | null} reason why it waits
 * @property {number} [thought] seconds
 * @property {number} [tokens]
 * @property {number} [firstAt] when its first token came
 * @property {LiveText} thinking
 * @property {LiveText} content
 */

export const ENDS = new Set(['done', 'stopped', 'failed', 'unknown']);
const SERVER_ENDED = new Set(['shutting_down', 'interrupted']);

/** @returns {LiveText} */
const emptyText = (restarts = 0) => ({ text: '', blocks: [], tail: '', appended: '', restarts, tails: 0 });

/**
 * An answer of which nothing was heard. `part` is what an earlier page has kept of it.
 *
 * @returns {Live}
 */
export function newLive(id, conversation, now, part = {}) {
  const texts = { thinking: emptyText(), content: emptyText() };
  texts.thinking.text = part.thinking ?? '';
  texts.content.text = part.content ?? '';
  return {
    id,
    conversation,
    state: 'sending',
    since: now,
    position: 0,
    reason: null,
    thought: part.thought,
    ...texts,
  };
}

/**
 * The answer after an update. One that is `whole`, the first of a stream, holds everything so far.
 *
 * @param {Live} live
 * @param {any} update
 * @param {number} now milliseconds
 * @returns {Live}
 */
export function updated(live, update, now) {
  const next = { ...live };
  if (update.whole) {
    next.thinking = emptyText(live.thinking.restarts + 1);
    next.content = emptyText(live.content.restarts + 1);
    Object.assign(next, { position: 0, reason: null });
  }
  if (update.state) Object.assign(next, { state: update.state, since: now - 1000 * (update.since ?? 0) });
  for (const name of ['position', 'reason', 'thought', 'tokens']) if (name in update) next[name] = update[name];
  if ('seconds' in update) next.firstAt = now - 1000 * update.seconds;
  for (const kind of ['thinking', 'content']) if (update[kind]) next[kind] = changedText(next[kind], update[kind]);
  return next;
}

/** @param {LiveText} text @returns {LiveText} */
function changedText(text, change) {
  const next = { ...text, text: text.text + (change.text ?? '') };
  if (change.restart) Object.assign(next, { blocks: [], restarts: text.restarts + 1 });
  if (change.blocks) next.blocks = [...next.blocks, ...change.blocks];
  if (change.tail) {
    const [kept, rest] = change.tail;
    Object.assign(next, { tail: text.tail.slice(0, kept) + rest, appended: '', tails: text.tails + 1 });
  }
  if (change.append) next.appended += change.append;
  return next;
}

/** Tokens a second so far, or 0 where that says nothing yet. */
export function speedOf(live, now) {
  const seconds = (now - (live.firstAt ?? now)) / 1000;
  return seconds >= 1 && live.tokens > 1 ? live.tokens / seconds : 0;
}

/**
 * How an answer ended, as its message keeps it.
 *
 * @param {Live} live
 * @param {any} update the last one
 */
export function ending(live, update) {
  const text = live.content.text;
  const kept = {
    text,
    thinking: live.thinking.text,
    thought: live.thought,
    model: update.model,
    stats: update.stats,
    context: update.context,
    error: update.error,
    code: update.code,
    end: outcome(update),
  };
  return Object.fromEntries(
    Object.entries(kept).filter(
      ([name, value]) => name === 'text' || (value !== '' && value !== undefined && value !== null),
    ),
  );
}

function outcome({ state, stop_reason: reason, code }) {
  if (state === 'unknown' || SERVER_ENDED.has(code) || (state === 'stopped' && reason === 'left')) return 'interrupted';
  return state;
}
