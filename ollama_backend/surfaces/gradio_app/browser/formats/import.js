// Conversations out of files: of this page, of ChatGPT and of Open WebUI. Hostile files give honest counts, no errors.

import { decodeText, kindOf } from '../files/decode.js';
import { entriesOf, unpack } from '../files/zip.js';
import { fromChatGpt, isChatGpt } from './chatgpt.js';
import { chapters, fromMarkdown } from './markdown.js';
import { fromOpenWebUi, isOpenWebUi } from './openwebui.js';
import { fromOwn } from './own_json.js';
import { isObject } from './shape.js';

/** The most bytes of a file, also unpacked. */
export const MAX_IMPORT_BYTES = 200 * 2 ** 20;

const IN_ARCHIVE = /(^|\/)conversations(-\d+)?\.json$/;
const AT_ONCE = 50;

/**
 * @typedef {object} ImportReport
 * @property {import('./shape.js').Incoming[]} list in the order of the file
 * @property {number} total conversations that the file holds
 * @property {string} [problem] key of the words, where the file itself cannot be read
 */

/**
 * Read every conversation of a file.
 *
 * @param {Pick<Blob, 'size' | 'arrayBuffer'>} file
 * @param {import('./shape.js').Origin} origin
 * @returns {Promise<ImportReport>}
 */
export async function importFile(file, origin) {
  if (file.size > MAX_IMPORT_BYTES) return { list: [], total: 0, problem: 'import.tooLarge' };
  try {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const texts = kindOf(bytes) === 'zip' ? await textsOfArchive(bytes) : [decodeText(bytes)];
    return await importTexts(
      texts.filter((text) => text !== null),
      origin,
    );
  } catch {
    return { list: [], total: 0, problem: 'import.unreadable' };
  }
}

/** The export of ChatGPT as it comes: an archive. @param {Uint8Array} bytes */
async function textsOfArchive(bytes) {
  const limits = { bytes: MAX_IMPORT_BYTES, ratio: 500 };
  const wanted = [...entriesOf(bytes).values()].filter(({ name }) => IN_ARCHIVE.test(name));
  const texts = [];
  for (const entry of wanted) texts.push(decodeText(await unpack(bytes, entry, limits)));
  return texts;
}

/**
 * @param {string[]} texts JSON or Markdown
 * @param {import('./shape.js').Origin} origin
 * @returns {Promise<ImportReport>}
 */
export async function importTexts(texts, origin) {
  /** @type {ImportReport} */
  const report = { list: [], total: 0 };
  for (const source of texts.flatMap(sourcesOf)) {
    report.total++;
    const incoming = read(source, origin);
    if (incoming) report.list.push(incoming);
    // Thousands of conversations must not freeze the page.
    if (report.total % AT_ONCE === 0) await new Promise((resolve) => setTimeout(resolve));
  }
  if (!report.total) report.problem = 'import.unreadable';
  return report;
}

/** The conversations of a text, not yet read: objects of JSON, or chapters of Markdown. @param {string} text */
function sourcesOf(text) {
  /** @type {unknown} */
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    return chapters(text);
  }
  const rows = Array.isArray(parsed) ? parsed : [parsed];
  if (rows.length && rows.every(isMessage)) return [{ messages: rows }];
  return rows.flatMap((row) => (isObject(row) && Array.isArray(row.conversations) ? row.conversations : [row]));
}

/** @param {unknown} row */
const isMessage = (row) =>
  isObject(row) && typeof row.role === 'string' && typeof (row.content ?? row.text) === 'string';

/** @param {unknown} source @param {import('./shape.js').Origin} origin */
function read(source, origin) {
  if (typeof source === 'string') return fromMarkdown(source, origin);
  if (isChatGpt(source)) return fromChatGpt(source, origin);
  return isOpenWebUi(source) ? fromOpenWebUi(source, origin) : fromOwn(source, origin);
}

/**
 * What to say about an import.
 *
 * @param {ImportReport} report
 * @returns {{key: string, values: Record<string, number>}}
 */
export function importWords({ list, total, problem }) {
  if (problem) return { key: problem, values: { limit: MAX_IMPORT_BYTES } };
  const unreadable = total - list.length;
  if (!list.length) return { key: 'import.unreadable', values: {} };
  if (!unreadable) return { key: 'import.all', values: { count: list.length } };
  return { key: 'import.some', values: { read: list.length, total, count: unreadable } };
}
