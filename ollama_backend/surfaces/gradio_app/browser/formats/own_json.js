// Conversations as JSON of our own: everything, with alternatives, pictures and settings.

import { linked } from './linking.js';
import {
  compact,
  filesOf,
  isObject,
  lineOf,
  listOf,
  optionsOf,
  picturesOf,
  statsOf,
  textOf,
  thinkOf,
  timeOf,
} from './shape.js';

const FORMAT = 'ollamaspace-conversations';
export const VERSION = 2;

/**
 * @typedef {object} Outgoing a conversation that goes out
 * @property {import('../tree.js').Conversation} conversation
 * @property {import('../tree.js').Message[]} messages
 * @property {Map<string, string>} [pictures] data URLs by their ids
 */

const LAST_DATE = 8.64e15;

/** Undefined for a time that no date has. @param {number | undefined} at */
const isoOf = (at = Number.NaN) => (Math.abs(at) <= LAST_DATE ? new Date(at).toISOString() : undefined);

/**
 * @param {Outgoing[]} list
 * @param {number} now
 * @returns {string}
 */
export function asJson(list, now) {
  const conversations = list.map(({ conversation, messages, pictures = new Map() }) => {
    const { title, named, created, at, head, pinned, model, system, think, options } = conversation;
    return {
      title,
      ...compact({ named, created: isoOf(created), at: isoOf(at), head, pinned, model, system, options }),
      ...(think === undefined ? {} : { think }),
      messages: messages.map((message) => portable(message, pictures)),
    };
  });
  return JSON.stringify({ format: FORMAT, version: VERSION, exported: isoOf(now), conversations }, null, 1);
}

/** @param {import('../tree.js').Message} message @param {Map<string, string>} pictures */
function portable(message, pictures) {
  const { id, parent, role, text, at, images = [], files, thinking, thought, model, stats, end, error } = message;
  const urls = images.flatMap((picture) => pictures.get(picture) ?? []);
  const isOver = end !== 'running';
  return {
    id,
    parent,
    role,
    text,
    at: isoOf(at),
    ...compact({ images: urls, files, thinking, thought, model, stats, error, end: isOver ? end : 'interrupted' }),
  };
}

/**
 * One conversation of such a file, or of one that this page wrote before it had alternatives.
 *
 * @param {unknown} source
 * @param {import('./shape.js').Origin} origin
 */
export function fromOwn(source, origin) {
  if (!isObject(source)) return null;
  const { now } = origin;
  const rows = listOf(source.messages).filter(isObject);
  const hasIds = rows.some((row) => typeof row.id === 'string' && 'parent' in row);
  let before = null;
  /** @type {import('./shape.js').Found[]} */
  const found = [];
  for (const [i, row] of rows.entries()) {
    const message = foundIn(row, `#${i}`, before, hasIds, now);
    found.push(message);
    before = message.id;
  }
  return linked(
    found,
    {
      title: source.title,
      head: source.head,
      created: timeOf(source.created, now),
      at: timeOf(source.at, now),
      pinned: source.pinned === true,
      model: lineOf(source.model),
      system: textOf(source.system),
      think: thinkOf(source.think),
      options: optionsOf(source.options),
    },
    origin,
  );
}

/**
 * @param {Record<string, unknown>} row
 * @param {string} place an id where there is none
 * @param {string | null} before
 * @param {boolean} hasIds
 * @param {number} now
 * @returns {import('./shape.js').Found}
 */
function foundIn(row, place, before, hasIds, now) {
  const isKnown = row.role === 'user' || row.role === 'assistant';
  const end = ['done', 'stopped', 'interrupted', 'failed'].find((known) => known === row.end);
  return {
    id: hasIds && typeof row.id === 'string' ? row.id : place,
    parent: hasIds ? (typeof row.parent === 'string' ? row.parent : null) : before,
    role: isKnown ? /** @type {'user' | 'assistant'} */ (row.role) : '',
    text: textOf(row.text) || textOf(row.content),
    thinking: textOf(row.thinking),
    thought: Number.isFinite(row.thought) ? /** @type {number} */ (row.thought) : undefined,
    model: lineOf(row.model),
    at: timeOf(row.at, now),
    images: picturesOf(row.images),
    files: filesOf(row.files),
    stats: statsOf(row.stats),
    end: /** @type {import('./shape.js').Found['end']} */ (end),
    error: lineOf(row.error, 500),
  };
}
