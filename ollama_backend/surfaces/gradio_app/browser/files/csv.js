// Tables in text files: how many rows they have, and their first rows where the whole is too long.

const DELIMITERS = [',', ';', '\t', '|'];
const SAMPLE = 50; // rows that must agree on the number of fields
const BY_NAME = /\.(csv|tsv|tab)$/i;
const MAYBE = /(^|\/)[^.]+$|\.(txt|log|dat|text)$/i;

/**
 * Where each record of a table ends, and how many fields it has. A line break in quotes belongs to a field.
 *
 * @param {string} text
 * @param {string} delimiter
 * @returns {Generator<{start: number, end: number, fields: number}>}
 * @yields {{start: number, end: number, fields: number}}
 */
export function* records(text, delimiter) {
  let start = 0;
  let fields = 1;
  let isQuoted = false;
  let atStart = true; // of a field: only there a quotation mark opens one
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (isQuoted) {
      if (letter === '"' && text[at + 1] === '"') at++;
      else if (letter === '"') isQuoted = false;
    } else if (letter === '"' && atStart) isQuoted = true;
    else if (letter === delimiter) fields++;
    else if (letter === '\n') {
      if (at > start) yield { start, end: at, fields };
      start = at + 1;
      fields = 1;
    }
    atStart = !isQuoted && (letter === delimiter || letter === '\n');
  }
  if (start < text.length) yield { start, end: text.length, fields };
}

/**
 * The delimiter by which the first rows all have the same number of fields, the largest number first; else null.
 *
 * @param {string} text
 * @returns {{delimiter: string, columns: number} | null}
 */
export function tableShape(text) {
  let best = null;
  for (const delimiter of DELIMITERS) {
    const widths = new Set();
    let rows = 0;
    for (const { fields } of records(text, delimiter)) {
      widths.add(fields);
      if (++rows >= SAMPLE || widths.size > 1) break;
    }
    const columns = /** @type {number} */ ([...widths][0] ?? 0);
    if (rows > 1 && widths.size === 1 && columns > (best?.columns ?? 1)) best = { delimiter, columns };
  }
  return best;
}

/**
 * The delimiter of a file that is a table, else null. A name that ends in .csv is believed, one of program text is
 * not: its lines may have as many commas by chance.
 *
 * @param {string} name
 * @param {string} text
 * @returns {string | null}
 */
export function tableDelimiter(name, text) {
  if (!BY_NAME.test(name) && !MAYBE.test(name)) return null;
  const shape = tableShape(text);
  return shape?.delimiter ?? (BY_NAME.test(name) ? (/\.csv$/i.test(name) ? ',' : '\t') : null);
}

/**
 * The number of rows under the header.
 *
 * @param {string} text
 * @param {string} delimiter
 */
export function countRows(text, delimiter) {
  let count = -1;
  for (const _ of records(text, delimiter)) count++;
  return Math.max(0, count);
}

/**
 * The header and the first rows of a table that `fits` accepts, at least the header.
 *
 * @param {string} text
 * @param {string} delimiter
 * @param {(text: string) => boolean} fits
 * @returns {{text: string, rows: number, leftOut: number}} `rows` are those kept
 */
export function firstRows(text, delimiter, fits) {
  const ends = [...records(text, delimiter)].map((record) => record.end);
  let [low, high] = [1, ends.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(text.slice(0, ends[middle - 1]))) low = middle;
    else high = middle - 1;
  }
  return { text: text.slice(0, ends[low - 1]), rows: low - 1, leftOut: ends.length - low };
}
