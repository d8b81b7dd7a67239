// Attached files before they are sent: what may be chosen for each, what it costs, and how it is kept in the message.

import { choicesFor, partOf, wrapped } from './attach.js';
import { costWords, estimateTokens, readingSeconds } from './budget.js';

/**
 * @typedef {import('./read.js').ReadFile} ReadFile
 * @typedef {import('./attach.js').Selection} Selection
 * @typedef {{key: string, values: Record<string, string | number>}} Words
 *
 * @typedef {object} Planned one file, as it is shown
 * @property {ReadFile} file
 * @property {Selection['kind'][]} choices a single one where the whole file fits
 * @property {Selection} selection the one that was chosen, or the first
 * @property {number} tokens of what is chosen; passages cost nothing until a question is asked
 * @property {Words[]} facts rows, pages, pictures left out
 */

/**
 * What to show of the files that are attached. Files are given room in their order.
 *
 * @param {{file: ReadFile, selection?: Selection}[]} attached with what people chose
 * @param {{free: number, ratio?: number, speeds: number[]}} now
 * @returns {{files: Planned[], tokens: number, fits: boolean, words: Words[]}}
 */
export function planOf(attached, { free, ratio, speeds }) {
  let left = free;
  const files = attached.map(({ file, selection: chosen }) => {
    const whole = estimateTokens(wrapped(file, { kind: 'whole' }), ratio);
    const choices = choicesFor(file, { tokens: whole, free: left });
    const selection = settled(chosen && choices.includes(chosen.kind) ? chosen : { kind: choices[0] }, left);
    const tokens = costOf(file, selection, whole, ratio);
    left = Math.max(0, left - tokens);
    return { file, choices, selection, tokens, facts: factsOf(file) };
  });
  const tokens = files.reduce((sum, planned) => sum + planned.tokens, 0);
  const words = tokens ? costWords({ tokens, free, seconds: readingSeconds(tokens, speeds) }) : [];
  return { files, tokens, fits: tokens <= free, words };
}

/** The beginning takes what is free, less room for the question. @param {Selection} selection @param {number} left */
function settled(selection, left) {
  return selection.kind === 'beginning' ? { ...selection, tokens: Math.max(0, Math.floor(left * 0.9)) } : selection;
}

/** @param {ReadFile} file @param {Selection} selection @param {number} whole @param {number} [ratio] */
function costOf(file, selection, whole, ratio) {
  if (selection.kind === 'whole') return whole;
  return selection.kind === 'passages' ? 0 : estimateTokens(wrapped(file, selection, ratio), ratio);
}

/**
 * What there is to know about a file, in words.
 *
 * @param {ReadFile} file
 * @returns {Words[]}
 */
export function factsOf({ rows, pages, pictures = 0, unreadable = 0 }) {
  const facts = [];
  if (rows !== undefined) facts.push({ key: 'file.rows', values: { count: rows } });
  if (pages) facts.push({ key: 'file.pages', values: { count: pages.length } });
  if (pages && pictures) facts.push({ key: 'file.pagesPictures', values: { count: pictures, total: pages.length } });
  if (!pages && pictures) facts.push({ key: 'file.pictures', values: { count: pictures } });
  if (unreadable) facts.push({ key: 'file.pagesUnreadable', values: { count: unreadable } });
  return facts;
}

/**
 * A file as a message keeps it: the very text that goes to the model, or all that passages are chosen from.
 *
 * @typedef {object} StoredFile
 * @property {string} name
 * @property {Selection['kind']} kind
 * @property {string} text
 * @property {number} tokens about; 0 for passages
 * @property {string} [note] what of the file was sent, such as `first 40 of 900 rows`
 * @property {string[]} [pages] texts of the pages of a PDF, of the kind `passages`
 * @property {string} [delimiter] of a table, of the kind `passages`
 */

/**
 * @param {Pick<Planned, 'file' | 'selection' | 'tokens'>} planned
 * @param {number} [ratio]
 * @returns {StoredFile}
 */
export function stored({ file, selection, tokens }, ratio) {
  const { name, text, pages, delimiter } = file;
  if (selection.kind === 'passages') {
    return { name, kind: 'passages', text, tokens: 0, ...(pages && { pages }), ...(delimiter && { delimiter }) };
  }
  const { note } = partOf(file, selection, ratio);
  return { name, kind: selection.kind, text: wrapped(file, selection, ratio), tokens, ...(note && { note }) };
}
