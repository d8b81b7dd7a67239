// Citations in answers, such as `[report.pdf, p. 4]`, so that the page can make links of them.

import { safeName } from './attach.js';

const CITATION = /\[([^[\]\n]{1,130}?)(?:,\s*(?:pp?\.|pages?|Seiten?|S\.)\s*(\d{1,5})(?:\s*[-–]\s*\d{1,5})?)?\]/g;

/**
 * A text in parts: plain ones and citations of files that are known.
 *
 * @typedef {{text: string, file: string, page: number | null}} Citation
 * @param {string} text
 * @param {string[]} names of the conversation's files
 * @returns {(string | Citation)[]}
 */
export function splitCitations(text, names) {
  const known = new Map(names.map((name) => [safeName(name).toLowerCase(), name]));
  /** @type {(string | Citation)[]} */
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(CITATION)) {
    const file = known.get(found[1].trim().toLowerCase());
    if (!file) continue;
    if (found.index > at) parts.push(text.slice(at, found.index));
    parts.push({ text: found[0], file, page: found[2] ? Number(found[2]) : null });
    at = found.index + found[0].length;
  }
  if (at < text.length) parts.push(text.slice(at));
  return parts;
}
