// Puts messages that a file holds into a sound tree: no circles, no strangers, roles that alternate.

import { LIMITS } from '../files/read.js';
import { compact, titleOf } from './shape.js';

/** Characters that merging may copy in one conversation. */
const MERGED_CHARACTERS = 20_000_000;

/**
 * @typedef {import('./shape.js').Found} Found
 * @typedef {import('./shape.js').Incoming} Incoming
 * @typedef {import('./shape.js').Origin} Origin
 */

/**
 * A conversation of these messages. Null where none can be read.
 *
 * @param {Found[]} found
 * @param {import('./shape.js').About} about
 * @param {Origin} origin
 * @returns {Incoming | null}
 */
export function linked(found, about, origin) {
  const kept = merged(withoutEmpty(inOrder(byTime(found))));
  if (!kept.length) return null;
  const { title, head, think, created = about.at ?? origin.now, at = created, ...settings } = about;
  const id = origin.newId();
  /** @type {Incoming['pictures']} */
  const pictures = new Map();
  /** @type {Map<string | null, {id: string | null, at: number, last: number}>} by ids of the file */
  const places = new Map([[null, { id: null, at: created - 1, last: 0 }]]);
  const messages = kept.map((message) => {
    const parent = places.get(message.parent) ?? { id: null, at: 0, last: 0 };
    // Siblings are told apart by their time.
    parent.last = Math.max(message.at ?? 0, parent.at + 1, parent.last + 1);
    const place = { id: origin.newId(), at: parent.last, last: 0 };
    places.set(message.id, place);
    return messageOf(message, { id: place.id, conversation: id, parent: parent.id, at: place.at }, pictures, origin);
  });
  const shown = places.get(headOf(found, kept, head))?.id ?? null;
  const conversation = {
    id,
    title: titleOf(title, kept[0].text),
    named: true,
    created,
    at,
    head: shown,
    ...compact(settings),
  };
  return { conversation: think === undefined ? conversation : { ...conversation, think }, messages, pictures };
}

/**
 * @param {Found} found
 * @param {Pick<import('../tree.js').Message, 'id' | 'conversation' | 'parent' | 'at'>} place
 * @param {Incoming['pictures']} pictures takes the pictures of the message
 * @param {Origin} origin
 */
function messageOf({ role, text, images = [], ...rest }, place, pictures, origin) {
  const ids = images.map((url) => {
    const id = origin.newId();
    pictures.set(id, url);
    return id;
  });
  const isAnswer = role === 'assistant';
  const { thinking, thought, model, stats, error, files } = rest;
  const more = isAnswer ? { thinking, thought, model, stats, error, end: rest.end ?? 'done' } : { images: ids, files };
  return /** @type {import('../tree.js').Message} */ ({ ...place, role, text, ...compact(more) });
}

/** The oldest first, where all have a time: files list messages in any order. @param {Found[]} found */
const byTime = (found) =>
  found.every(({ at }) => at !== undefined) ? [...found].sort((one, other) => (one.at ?? 0) - (other.at ?? 0)) : found;

/**
 * Parents before children. Of two messages with one id the first counts; a parent that is missing, or that would close
 * a circle, makes the message a first one.
 *
 * @param {Found[]} found
 * @returns {Found[]}
 */
function inOrder(found) {
  const byId = new Map([...found].reverse().map((message) => [message.id, message]));
  /** @type {Set<Found>} */
  const done = new Set();
  for (const message of byId.size === found.length ? found : [...byId.values()].reverse()) {
    const path = [];
    const open = new Set();
    /** @type {Found | undefined} */
    let at = message;
    while (at && !done.has(at)) {
      path.push(at);
      open.add(at);
      /** @type {Found | undefined} */
      const parent = at.parent === null ? undefined : byId.get(at.parent);
      if (!parent || open.has(parent)) at.parent = null;
      at = at.parent === null ? undefined : parent;
    }
    for (const step of path.reverse()) done.add(step);
  }
  return [...done];
}

/** Without messages of no role or no content; their children go to the message before. @param {Found[]} ordered */
function withoutEmpty(ordered) {
  /** @type {Map<string, string | null>} */
  const moved = new Map();
  return ordered.filter((message) => {
    const parent = message.parent;
    if (parent !== null && moved.has(parent)) message.parent = moved.get(parent) ?? null;
    if (message.role && (message.text || message.thinking || message.images?.length || message.files?.length))
      return true;
    moved.set(message.id, message.parent);
    return false;
  });
}

/**
 * Two messages of one role in a row become one, on every branch. So do the steps of an answer that used tools. Where
 * that would copy too much, the second becomes an alternative to the first.
 *
 * @param {Found[]} ordered
 */
function merged(ordered) {
  const byId = new Map(ordered.map((message) => [message.id, message]));
  const [absorbed, needed] = [new Set(), new Set()];
  let room = MERGED_CHARACTERS;
  for (const message of ordered) {
    /** @type {Found | undefined} */
    const parent = message.parent === null ? undefined : byId.get(message.parent);
    if (!parent) continue;
    if (parent.role !== message.role) {
      needed.add(parent);
      continue;
    }
    message.parent = parent.parent;
    room -= parent.text.length + (parent.thinking?.length ?? 0);
    if (room < 0) continue;
    absorbed.add(parent);
    message.text = [parent.text, message.text].filter(Boolean).join('\n\n');
    message.thinking = [parent.thinking, message.thinking].filter(Boolean).join('\n\n');
    message.images = [...(parent.images ?? []), ...(message.images ?? [])].slice(0, LIMITS.pictures);
    message.files = [...(parent.files ?? []), ...(message.files ?? [])].slice(0, LIMITS.files);
  }
  return ordered.filter((message) => !absorbed.has(message) || needed.has(message));
}

/** The message that stands for the head of the file, or for the nearest before it that is kept. */
function headOf(/** @type {Found[]} */ found, /** @type {Found[]} */ kept, /** @type {unknown} */ head) {
  const ids = new Set(kept.map(({ id }) => id));
  const byId = new Map(found.map((message) => [message.id, message]));
  let at = typeof head === 'string' ? byId.get(head) : undefined;
  for (let steps = found.length; at && steps >= 0; steps--) {
    if (ids.has(at.id)) return at.id;
    at = at.parent === null ? undefined : byId.get(at.parent);
  }
  return kept[kept.length - 1].id;
}
