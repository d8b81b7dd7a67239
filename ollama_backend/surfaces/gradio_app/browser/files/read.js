// Files that people attach, paste or drop, read by their content. What cannot be read is refused by name.

import { countRows, tableDelimiter } from './csv.js';
import { decodeText, kindOf } from './decode.js';
import { isDocx, readDocx } from './docx.js';
import { PDF_BYTES, readPdf } from './pdf.js';
import { entriesOf, ZipError } from './zip.js';

/** Bytes of one file by its kind, files and pictures of one message, and characters that make pasted text a file. */
export const LIMITS = { text: 2 * 2 ** 20, docx: 20 * 2 ** 20, pdf: PDF_BYTES, files: 10, pictures: 8, pasted: 10_000 };

/** What kinds of archives are, by an entry that only they have; each has its sentence. */
const ARCHIVES = [
  ['xl/workbook.xml', 'spreadsheet'],
  ['xl/workbook.bin', 'spreadsheet'],
  ['ppt/presentation.xml', 'slides'],
  ['content.xml', 'openDocument'],
];

/**
 * A file whose text has been read.
 *
 * @typedef {object} ReadFile
 * @property {string} name
 * @property {'text' | 'table' | 'docx' | 'pdf'} kind
 * @property {number} size in bytes
 * @property {string} text whole
 * @property {string[]} [pages] of a PDF; `text` holds them all
 * @property {number} [pictures] pages of a PDF without text, or pictures of a DOCX
 * @property {number} [unreadable] pages of a PDF that could not be read
 * @property {string} [delimiter] of a table
 * @property {number} [rows] of a table, without its header
 */

/** @typedef {{name: string, key: string, values: Record<string, string | number>}} Refusal `key` of the words */

/**
 * @typedef {object} FileSource what of a File is needed
 * @property {string} name
 * @property {number} size
 * @property {() => Promise<ArrayBuffer>} arrayBuffer
 * @property {(start: number, end: number) => {arrayBuffer: () => Promise<ArrayBuffer>}} slice
 */

/**
 * Read the files of one message.
 *
 * @template {FileSource} F
 * @param {Iterable<F>} sources
 * @param {{sendPdf: import('./pdf.js').SendPdf, attached?: number}} options `attached` are there already
 * @returns {Promise<{files: ReadFile[], pictures: F[], refused: Refusal[]}>}
 */
export async function readFiles(sources, { sendPdf, attached = 0 }) {
  const [files, pictures, refused] = [
    /** @type {ReadFile[]} */ ([]),
    /** @type {F[]} */ ([]),
    /** @type {Refusal[]} */ ([]),
  ];
  for (const source of sources) {
    if (attached + files.length >= LIMITS.files) {
      refused.push(refusal(source.name, 'tooMany', { count: LIMITS.files }));
      continue;
    }
    const found = await readFile(source, sendPdf);
    if (found === 'picture') pictures.push(source);
    else if ('key' in found) refused.push(found);
    else files.push(found);
  }
  return { files, pictures, refused };
}

/**
 * Read one file.
 *
 * @param {FileSource} source
 * @param {import('./pdf.js').SendPdf} sendPdf
 * @returns {Promise<ReadFile | Refusal | 'picture'>}
 */
export async function readFile(source, sendPdf) {
  const { name, size } = source;
  try {
    const kind = kindOf(new Uint8Array(await source.slice(0, 8192).arrayBuffer()));
    if (kind === 'picture') return 'picture';
    if (kind === 'binary' || kind === 'oldOffice' || kind === 'rtf') return refusal(name, kind);
    const limit = { text: LIMITS.text, zip: LIMITS.docx, pdf: LIMITS.pdf }[kind];
    if (size > limit) return refusal(name, 'tooLarge', { size, limit });
    const bytes = new Uint8Array(await source.arrayBuffer());
    if (kind === 'zip') return await fromArchive(name, bytes);
    return kind === 'pdf' ? await fromPdf(name, bytes, sendPdf) : fromText(name, bytes);
  } catch (error) {
    return refusal(name, error instanceof ZipError ? error.reason : 'unreadable');
  }
}

/**
 * Long pasted text as a file; null where it is short enough for the box.
 *
 * @param {string} text
 * @param {string} name
 * @returns {ReadFile | null}
 */
export function fromPaste(text, name) {
  if (text.length <= LIMITS.pasted) return null;
  return described({ name, kind: 'text', size: new Blob([text]).size, text: text.replace(/\r\n?/g, '\n') });
}

/** @param {string} name @param {Uint8Array} bytes */
function fromText(name, bytes) {
  const text = decodeText(bytes);
  if (text === null) return refusal(name, 'binary');
  return text.trim() ? described({ name, kind: 'text', size: bytes.length, text }) : refusal(name, 'empty');
}

/** @param {ReadFile} file */
function described(file) {
  const delimiter = tableDelimiter(file.name, file.text);
  if (!delimiter) return file;
  return { ...file, kind: /** @type {const} */ ('table'), delimiter, rows: countRows(file.text, delimiter) };
}

/** @param {string} name @param {Uint8Array} bytes @returns {Promise<ReadFile | Refusal>} */
async function fromArchive(name, bytes) {
  if (!isDocx(bytes)) {
    const entries = entriesOf(bytes);
    return refusal(name, ARCHIVES.find(([entry]) => entries.has(entry))?.[1] ?? 'archive');
  }
  const { text, pictures } = await readDocx(bytes);
  if (text.length > LIMITS.text) return refusal(name, 'tooLarge', { size: text.length, limit: LIMITS.text });
  return text ? { name, kind: 'docx', size: bytes.length, text, pictures } : refusal(name, 'empty');
}

/**
 * @param {string} name
 * @param {Uint8Array} bytes
 * @param {import('./pdf.js').SendPdf} sendPdf
 * @returns {Promise<ReadFile | Refusal>}
 */
async function fromPdf(name, bytes, sendPdf) {
  const found = await readPdf(bytes, sendPdf);
  if ('reason' in found) return refusal(name, found.reason, { limit: LIMITS.pdf });
  const pages = found.pages.map((page) => page.trim());
  const pictures = pages.filter((page) => !page).length - found.unreadable;
  return {
    name,
    kind: 'pdf',
    size: bytes.length,
    text: pages.join('\n\n').trim(),
    pages,
    pictures,
    unreadable: found.unreadable,
  };
}

/** @param {string} name @param {string} reason @param {Record<string, string | number>} [values] @returns {Refusal} */
function refusal(name, reason, values = {}) {
  return { name, key: `file.refused.${reason}`, values: { name, ...values } };
}
