// What comes out of files of others: only values of the right type pass, everything else is left out.

import { LIMITS } from '../files/read.js';

/**
 * A conversation that comes in. Its ids are new; `pictures` are data URLs by the ids that messages name.
 *
 * @typedef {object} Incoming
 * @property {import('../tree.js').Conversation} conversation
 * @property {import('../tree.js').Message[]} messages parents before their children
 * @property {Map<string, string>} pictures
 */

/**
 * A message as a reader of a format finds it, before its place in the tree is checked.
 *
 * @typedef {object} Found
 * @property {string} id
 * @property {string | null} parent
 * @property {'user' | 'assistant' | ''} role empty: the message is left out, its children are kept
 * @property {string} text
 * @property {string} [thinking]
 * @property {number} [thought]
 * @property {string} [model]
 * @property {number} [at]
 * @property {string[]} [images] data URLs
 * @property {import('../files/plan.js').StoredFile[]} [files]
 * @property {Record<string, number | string>} [stats]
 * @property {'done' | 'stopped' | 'interrupted' | 'failed'} [end]
 * @property {string} [error]
 */

/**
 * What a reader of a format finds about a conversation; `head` is the id, in the file, of the last message that was
 * shown, and nothing is known of the types of `title` and `head`.
 *
 * @typedef {Partial<import('../tree.js').Conversation>} Known
 * @typedef {Omit<Known, 'title' | 'head'> & {title: unknown, head?: unknown}} About
 */

/** Where ids and the time come from. @typedef {{newId: () => string, now: number}} Origin */

const TITLE = 60;
const PICTURE = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}$/;
const PICTURE_LENGTH = 12_000_000;
const OPTIONS = ['temperature', 'top_p', 'top_k', 'min_p', 'repeat_penalty', 'num_predict', 'seed'];
const LEVELS = ['low', 'medium', 'high', 'max'];

/** @param {unknown} value @returns {value is Record<string, unknown>} */
export const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** @param {unknown} value @returns {unknown[]} */
export const listOf = (value) => (Array.isArray(value) ? value : []);

/** Text with half surrogate pairs replaced. @param {unknown} value */
export function textOf(value) {
  return typeof value === 'string'
    ? value.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
    : '';
}

/** A short name on one line, without marks that turn the direction of what follows. @param {unknown} value */
export const lineOf = (value, most = 100) =>
  textOf(value)
    .slice(0, 4096)
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, '')
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
    .slice(0, most)
    .replace(/[\ud800-\udbff]$/, '');

/** @param {unknown} title @param {string} otherwise usually the first message */
export const titleOf = (title, otherwise) => lineOf(title, TITLE) || lineOf(otherwise, TITLE);

/**
 * Milliseconds of a date that a file gives as seconds, milliseconds or text; never in the future.
 *
 * @param {unknown} value
 * @param {number} now
 * @returns {number | undefined}
 */
export function timeOf(value, now) {
  const number = typeof value === 'string' ? Date.parse(value) : typeof value === 'number' ? value : Number.NaN;
  if (!(number > 0)) return undefined;
  return Math.round(Math.min(now, number < 1e11 && typeof value === 'number' ? number * 1000 : number));
}

/** @param {unknown} value @returns {string[]} pictures that may be shown */
export function picturesOf(value) {
  const fits = (/** @type {unknown} */ url) =>
    typeof url === 'string' && url.length < PICTURE_LENGTH && PICTURE.test(url);
  return /** @type {string[]} */ (listOf(value).filter(fits).slice(0, LIMITS.pictures));
}

/** @param {unknown} value @returns {Record<string, number> | undefined} options that the settings offer */
export function optionsOf(value) {
  if (!isObject(value)) return undefined;
  const known = OPTIONS.filter((name) => Object.hasOwn(value, name) && Number.isFinite(value[name]));
  return known.length
    ? Object.fromEntries(known.map((name) => [name, /** @type {number} */ (value[name])]))
    : undefined;
}

/** @param {unknown} value */
export function thinkOf(value) {
  const isLevel = typeof value === 'boolean' || LEVELS.includes(/** @type {string} */ (value));
  return isLevel ? /** @type {boolean | 'low' | 'medium' | 'high' | 'max'} */ (value) : undefined;
}

/** @param {unknown} value @returns {Record<string, number | string> | undefined} flat counts and durations */
export function statsOf(value) {
  if (!isObject(value)) return undefined;
  const entries = Object.entries(value).filter(
    ([name, count]) =>
      /^[a-z][a-z_]{0,30}$/.test(name) && (Number.isFinite(count) || (typeof count === 'string' && count.length < 40)),
  );
  return entries.length
    ? /** @type {Record<string, number | string>} */ (Object.fromEntries(entries.slice(0, 20)))
    : undefined;
}

const FILE_KINDS = /** @type {const} */ (['whole', 'beginning', 'pages', 'passages']);

/** @param {unknown} value @returns {import('../files/plan.js').StoredFile[]} files as messages keep them */
export const filesOf = (value) =>
  listOf(value)
    .filter(isObject)
    .slice(0, LIMITS.files)
    .map((file) => {
      const kind = FILE_KINDS.find((known) => known === file.kind) ?? 'whole';
      const pages = listOf(file.pages).map(textOf);
      const isForPassages = kind === 'passages';
      return compact({
        name: lineOf(file.name) || 'file',
        kind,
        text: textOf(file.text),
        tokens: Number.isFinite(file.tokens) ? /** @type {number} */ (file.tokens) : 0,
        note: lineOf(file.note),
        pages: isForPassages ? pages : [],
        delimiter: isForPassages ? textOf(file.delimiter).slice(0, 1) : '',
      });
    });

/** An object without the values that say nothing. @template {object} T @param {T} object @returns {T} */
export function compact(object) {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined && value !== '' && value !== false);
  return /** @type {T} */ (Object.fromEntries(entries.filter(([, value]) => !Array.isArray(value) || value.length)));
}
