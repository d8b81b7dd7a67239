// Markdown as it is spoken: words only. Code and formulas are announced, links are read by their text.

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const DELIMITER_ROW = /^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const DISPLAY = [
  ['$$', '$$'],
  ['\\[', '\\]'],
];
const ENTITIES = new Map([
  ['&amp;', '&'],
  ['&lt;', '<'],
  ['&gt;', '>'],
  ['&quot;', '"'],
  ['&nbsp;', ' '],
]);

/** @typedef {{kind: 'text' | 'code' | 'formula', text: string}} Spoken a paragraph, or what stands in place of one */

/**
 * What is spoken of a text, paragraph by paragraph.
 *
 * @param {string} markdown
 * @returns {Spoken[]}
 */
export function spokenParts(markdown) {
  /** @type {Spoken[]} */
  const parts = [];
  /** @type {string[]} */
  let paragraph = [];
  const flush = () => {
    const text = spokenLine(paragraph.join('\n'));
    if (/[\p{L}\p{N}]/u.test(text)) parts.push({ kind: 'text', text });
    paragraph = [];
  };
  const lines = markdown.split('\n');
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at];
    const end = endOfBlock(lines, at);
    if (end) {
      flush();
      parts.push({ kind: end.kind, text: '' });
      at = end.at;
    } else if (!line.trim() || RULE.test(line)) flush();
    else if (line.includes('|') && DELIMITER_ROW.test(line)) continue;
    else if (beginsBlock(line)) {
      flush();
      paragraph.push(withoutMarker(line));
      if (/^ {0,3}#/.test(line)) flush();
    } else paragraph.push(withoutMarker(line));
  }
  flush();
  return parts;
}

/**
 * Where a block of code or a formula that begins in a line ends. Null where none begins.
 *
 * @param {string[]} lines
 * @param {number} at
 * @returns {{kind: 'code' | 'formula', at: number} | null}
 */
function endOfBlock(lines, at) {
  const fence = FENCE.exec(lines[at])?.[1];
  if (fence) {
    const isEnd = (/** @type {string} */ line) =>
      line.trim().startsWith(fence) && !line.trim().replaceAll(fence[0], '');
    return { kind: 'code', at: lineWhere(lines, at + 1, isEnd) };
  }
  const [open, close] = DISPLAY.find(([start]) => lines[at].trim().startsWith(start)) ?? [];
  if (!open || !close) return null;
  const rest = lines[at].trim().slice(open.length);
  if (rest.includes(close)) return rest.trim().endsWith(close) ? { kind: 'formula', at } : null;
  return { kind: 'formula', at: lineWhere(lines, at + 1, (line) => line.includes(close)) };
}

/** @param {string[]} lines @param {number} from @param {(line: string) => boolean} holds */
function lineWhere(lines, from, holds) {
  for (let at = from; at < lines.length; at++) if (holds(lines[at])) return at;
  return lines.length;
}

/** Headings, list items, rows of tables and quotes are sentences of their own. @param {string} line */
const beginsBlock = (line) => /^\s*(?:#{1,6}\s|[-*+]\s|\d{1,9}[.)]\s|>|\|)/.test(line);

/** @param {string} line */
function withoutMarker(line) {
  const text = line
    .replace(/^[\s>]+/, '')
    .replace(/^#{1,6}\s+/, '')
    .replace(/^[-*+]\s+(?:\[[ xX]\]\s+)?/, '');
  if (!text.startsWith('|')) return text;
  return text
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim())
    .filter(Boolean)
    .join(', ');
}

/**
 * A paragraph without its marks.
 *
 * @param {string} text
 */
export function spokenLine(text) {
  const code = /** @type {string[]} */ ([]);
  return text
    .replace(/(`{1,9})([^`\n]{1,500})\1/g, (_, __, inner) => `\u0000${code.push(inner.trim()) - 1}\u0000`)
    .replace(
      /\$\$[^$]{1,2000}\$\$|\\\([^\n]{1,2000}?\\\)|\\\[[^\n]{1,2000}?\\\]|\$(?! )[^$\n]{1,500}(?<! )\$(?!\d)/g,
      ' ',
    )
    .replace(/!\[([^\][\n]{0,500})\]\([^()\n]{0,2000}\)/g, '$1')
    .replace(/\[([^\][\n]{1,500})\](?:\([^()\n]{0,2000}\)|\[[^\][\n]{0,200}\])/g, '$1')
    .replace(/\[\^[^\][\n]{1,50}\]/g, '')
    .replace(/<(?:https?:\/\/|mailto:)([^\s<>]{1,500})>|https?:\/\/([^\s<>()]{1,500})/g, (_, a, b) => hostOf(a ?? b))
    .replace(/<\/?[a-z][^<>]{0,300}>/gi, ' ')
    .replace(/&(?:amp|lt|gt|quot|nbsp);/g, (entity) => ENTITIES.get(entity) ?? entity)
    .replace(/(\*{1,3}|~~)(?=\S)([^*~\n]{1,2000}?)(?<=\S)\1/g, '$2')
    .replace(/(?<![\p{L}\p{N}])(_{1,3})(?=\S)([^_\n]{1,2000}?)(?<=\S)\1(?![\p{L}\p{N}])/gu, '$2')
    .replace(/\\([!-/:-@[-`{-~])/g, '$1')
    .replace(/\u0000(\d+)\u0000/g, (_, at) => code[Number(at)])
    .replace(/\s+/g, ' ')
    .trim();
}

/** The name of a site is worth hearing, the rest of an address is not. @param {string} address */
const hostOf = (address) => address.replace(/^www\./, '').split(/[/?#]/)[0];
