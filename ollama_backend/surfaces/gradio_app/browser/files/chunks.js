// A file in pieces of about a thousand characters, cut where its text has an end, each with its page.

import { records } from './csv.js';

/** About how many characters a chunk has. */
export const CHUNK = 1000;

/** Ends of a text from good to bad: of a paragraph, a line, a sentence, a word. */
const ENDS = [/\n{2,}/g, /\n/g, /[.!?。！？؟।]+[\s"'”’)\]]*/g, /\s+/g];

/**
 * @typedef {object} Chunk
 * @property {string} file name
 * @property {number} index within the file
 * @property {number | null} page of a PDF, from 1
 * @property {string} text
 * @property {string} [header] of the table that the rows belong to
 */

/**
 * @param {Pick<import('./read.js').ReadFile, 'name' | 'text' | 'pages' | 'delimiter'>} file
 * @returns {Chunk[]}
 */
export function chunksOf(file) {
  /** @type {Omit<Chunk, 'index' | 'file'>[]} */
  let pieces;
  if (file.delimiter) pieces = tablePieces(file.text, file.delimiter);
  else if (file.pages) pieces = file.pages.flatMap((page, i) => split(page).map((text) => ({ page: i + 1, text })));
  else pieces = split(file.text).map((text) => ({ page: null, text }));
  return pieces.map((piece, index) => ({ file: file.name, index, ...piece }));
}

/** @param {string} text @param {string} delimiter */
function tablePieces(text, delimiter) {
  const rows = [...records(text, delimiter)].map(({ start, end }) => text.slice(start, end));
  const [header = ''] = rows;
  /** @type {{page: null, text: string, header: string}[]} */
  const pieces = [];
  for (const row of rows.slice(1)) {
    const last = pieces.at(-1);
    if (last && last.text.length + row.length < CHUNK) last.text += `\n${row}`;
    else pieces.push({ page: null, text: row, header });
  }
  return pieces;
}

/**
 * @param {string} text
 * @param {number} [level] of ENDS
 * @returns {string[]}
 */
export function split(text, level = 0) {
  if (text.length <= CHUNK) return text.trim() ? [text.trim()] : [];
  const end = ENDS[level];
  const parts = end ? cutAfter(text, end) : hardCut(text);
  /** @type {string[]} */
  const chunks = [];
  let open = '';
  for (const part of parts) {
    if (open && open.length + part.length > CHUNK * 1.2) {
      chunks.push(open.trim());
      open = '';
    }
    if (part.length <= CHUNK * 1.2) open += part;
    else chunks.push(...split(part, level + 1));
  }
  if (open.trim()) chunks.push(open.trim());
  return chunks.filter(Boolean);
}

/** @param {string} text @param {RegExp} end */
function cutAfter(text, end) {
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(end)) {
    parts.push(text.slice(at, found.index + found[0].length));
    at = found.index + found[0].length;
  }
  return [...parts, text.slice(at)];
}

/** @param {string} text */
function hardCut(text) {
  return text.match(new RegExp(`[^]{1,${CHUNK}}(?![\\udc00-\\udfff])`, 'g')) ?? [];
}
