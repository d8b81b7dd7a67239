// How files stand in a message: wrapped once, where they were attached, so that what is before them stays the same.

import { estimateTokens } from './budget.js';
import { firstRows } from './csv.js';

/**
 * @typedef {import('./read.js').ReadFile} ReadFile
 *
 * @typedef {object} Selection what of a file goes into the message
 * @property {'whole' | 'beginning' | 'pages' | 'passages'} kind
 * @property {number[]} [pages] numbers from 1, of the kind `pages`
 * @property {number} [tokens] the most of the kind `beginning`
 */

/** Opening and closing tags of our own in a file's text: it must not end the file, nor begin another. */
const TAGS = /<(?=\/?(?:file|passages?)\b)/gi;

/** @param {string} text */
export const escapeTags = (text) => text.replace(TAGS, '&lt;');

/**
 * A file's name for an attribute and for messages: no quotes, brackets, line breaks or direction marks.
 *
 * @param {string} name
 */
export function safeName(name) {
  const plain = name
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '')
    .replace(/["<>&[\]]/g, '_')
    .trim();
  if (plain.length <= 120) return plain || 'file';
  const extension = /\.[^.]{1,10}$/.exec(plain)?.[0] ?? '';
  return `${plain.slice(0, 110 - extension.length)}…${extension}`;
}

/**
 * What people may choose for a file: all of it where it fits, else a part.
 *
 * @param {ReadFile} file
 * @param {{tokens: number, free: number}} cost
 * @returns {Selection['kind'][]} the first is the one to begin with
 */
export function choicesFor(file, { tokens, free }) {
  if (tokens <= free) return ['whole'];
  return file.pages && file.pages.length > 1 ? ['passages', 'beginning', 'pages'] : ['passages', 'beginning'];
}

/**
 * One file as it goes to the model.
 *
 * @param {ReadFile} file
 * @param {Selection} selection
 * @param {number} [ratio]
 */
export function wrapped(file, selection, ratio) {
  const part = partOf(file, selection, ratio);
  const pages = part.pages?.length ? ` pages="${pageRanges(part.pages)}"` : '';
  const note = part.note ? ` note="${part.note}"` : '';
  return `<file name="${safeName(file.name)}"${pages}${note}>\n${escapeTags(part.text).replace(/\n$/, '')}\n</file>`;
}

/**
 * @param {ReadFile} file
 * @param {Selection} selection
 * @param {number} [ratio]
 * @returns {{text: string, pages?: number[], note?: string}}
 */
export function partOf(file, selection, ratio) {
  if (selection.kind === 'beginning') return beginning(file, selection.tokens ?? 0, ratio);
  if (!file.pages) return { text: file.text };
  const all = file.pages.map((_, i) => i + 1);
  const wanted = selection.kind === 'pages' ? new Set(selection.pages ?? []) : null;
  const pages = wanted ? all.filter((number) => wanted.has(number)) : all;
  return { text: marked(file.pages, pages), pages, ...(wanted ? { note: 'only these pages' } : {}) };
}

/** Pages with their numbers, so that an answer can name them. Pages without text are left out. */
function marked(/** @type {string[]} */ texts, /** @type {number[]} */ numbers) {
  return numbers
    .filter((number) => texts[number - 1]?.trim())
    .map((number) => `[p. ${number}]\n${texts[number - 1]}`)
    .join('\n\n');
}

/**
 * The beginning of a file within a number of tokens: whole rows, whole pages, or whole paragraphs where it can be.
 *
 * @param {ReadFile} file
 * @param {number} tokens
 * @param {number} [ratio]
 * @returns {{text: string, pages?: number[], note: string}}
 */
function beginning(file, tokens, ratio) {
  const fits = (/** @type {string} */ text) => estimateTokens(text, ratio) <= tokens;
  if (file.delimiter) {
    const { text, rows, leftOut } = firstRows(file.text, file.delimiter, fits);
    return { text, note: leftOut ? `first ${rows} of ${rows + leftOut} rows` : 'whole' };
  }
  const { pages: texts } = file;
  if (texts) {
    const numbers = longestThatFits(
      texts.map((_, i) => i + 1),
      (some) => fits(marked(texts, some)),
    );
    if (numbers.some((number) => texts[number - 1].trim()))
      return { text: marked(texts, numbers), pages: numbers, note: `of ${texts.length} pages` };
  }
  const first = texts ? texts.findIndex((page) => page.trim()) + 1 : 0;
  const text = cutAtEnd(texts ? marked(texts, [first]) : file.text, fits);
  const percent = Math.max(1, Math.round((100 * text.length) / file.text.length));
  return { text, note: `the first ${percent} %`, ...(texts ? { pages: [first] } : {}) };
}

/**
 * @template T
 * @param {T[]} list
 * @param {(some: T[]) => boolean} fits
 * @returns {T[]}
 */
function longestThatFits(list, fits) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(list.slice(0, middle))) low = middle;
    else high = middle - 1;
  }
  return list.slice(0, low);
}

/** The longest start of a text that fits, cut at the end of a paragraph, line or word not far from there. */
function cutAtEnd(/** @type {string} */ text, /** @type {(text: string) => boolean} */ fits) {
  if (fits(text)) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(text.slice(0, middle))) low = middle;
    else high = middle - 1;
  }
  const start = text.slice(0, low);
  for (const end of ['\n\n', '\n', ' ']) {
    const at = start.lastIndexOf(end);
    if (at > low * 0.7) return start.slice(0, at);
  }
  return /[\ud800-\udbff]$/.test(start) ? start.slice(0, -1) : start;
}

/**
 * Numbers as ranges: `1-3, 7`.
 *
 * @param {number[]} numbers in order
 */
export function pageRanges(numbers) {
  /** @type {[number, number][]} */
  const ranges = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
}

/**
 * The pages that people mean by `1-3, 7`. Null where it cannot be read or names no page of the file.
 *
 * @param {string} typed
 * @param {number} count pages of the file
 * @returns {number[] | null}
 */
export function readPageRanges(typed, count) {
  const pages = new Set();
  for (const part of typed.split(/[,;،、，]/)) {
    if (!part.trim()) continue;
    const range = /^\s*(\d{1,5})\s*(?:[-–—]\s*(\d{0,5})\s*)?$/.exec(part);
    if (!range) return null;
    const from = Number(range[1]);
    const to = range[2] === undefined ? from : Number(range[2] || count);
    for (let page = Math.max(1, from); page <= Math.min(to, count); page++) pages.add(page);
  }
  return pages.size ? [...pages].sort((a, b) => a - b) : null;
}
