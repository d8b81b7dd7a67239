// The blocks of a DOCX as Markdown, put together from the events of its XML.

/**
 * @typedef {object} Paragraph
 * @property {string} text
 * @property {string} style
 * @property {string} list id of its list, empty outside of one
 * @property {string} level of its list
 */

/** @typedef {{isItem: boolean, text: string}} Block */

/** @param {string} text */
export const oneLine = (text) => text.replace(/\s+/g, ' ').trim();

/** Collects paragraphs and tables; tables may stand in the cells of tables. */
export class Blocks {
  #styleOf;
  #isOrdered;
  /** @type {Block[][]} the document, and each open cell */
  #places = [[]];
  /** @type {string[][][]} the rows of each open table */
  #tables = [];
  /** @type {Map<string, number>} items so far of each list and level */
  #counts = new Map();

  /**
   * @param {(id: string) => import('./docx_styles.js').ParagraphStyle} styleOf
   * @param {(list: string, level: string) => boolean} isOrdered
   */
  constructor(styleOf, isOrdered) {
    this.#styleOf = styleOf;
    this.#isOrdered = isOrdered;
  }

  /** @param {Paragraph} paragraph */
  addParagraph(paragraph) {
    const text = paragraph.text
      .replace(/(?<![ \t])[ \t]+$/gm, '')
      .replace(/^\n+/, '')
      .trimEnd();
    if (!text) return;
    const style = this.#styleOf(paragraph.style);
    const list = paragraph.list || style.list || '0'; // 0 takes a paragraph out of its style's list
    if (style.heading) this.#add(`${'#'.repeat(style.heading)} ${oneLine(text)}`);
    else if (list !== '0') this.#add(this.#item(list, paragraph.level || style.level || '0', text), true);
    else this.#add(text);
  }

  openTable() {
    this.#tables.push([]);
  }

  openRow() {
    this.#tables.at(-1)?.push([]);
  }

  openCell() {
    this.#places.push([]);
  }

  closeCell() {
    if (this.#places.length < 2) return;
    const cell = this.#places.pop() ?? [];
    const text = cell.map((block) => oneLine(block.text)).join(' ');
    this.#tables.at(-1)?.at(-1)?.push(text.replaceAll('|', '\\|'));
  }

  closeTable() {
    const rows = (this.#tables.pop() ?? []).filter((row) => row.length);
    if (!rows.length) return;
    const width = rows.reduce((widest, row) => Math.max(widest, row.length), 0);
    const lines = rows.map((row) => `| ${Array.from({ length: width }, (_, i) => row[i] ?? '').join(' | ')} |`);
    lines.splice(1, 0, `|${' --- |'.repeat(width)}`);
    this.#add(lines.join('\n'));
  }

  /** The whole as Markdown; the items of a list stay together. */
  toString() {
    const blocks = this.#places.flat();
    return blocks
      .map((block, i) => (i ? (block.isItem && blocks[i - 1].isItem ? '\n' : '\n\n') : '') + block.text)
      .join('');
  }

  /** @param {string} text @param {boolean} [isItem] */
  #add(text, isItem = false) {
    this.#places.at(-1)?.push({ isItem, text });
  }

  /** @param {string} list @param {string} level @param {string} text */
  #item(list, level, text) {
    const depth = Math.min(8, Number(level) || 0);
    const indent = '  '.repeat(depth);
    const at = `${list}/${depth}`;
    const count = (this.#counts.get(at) ?? 0) + 1;
    this.#counts.set(at, count);
    for (let deeper = depth + 1; deeper <= 8; deeper++) this.#counts.delete(`${list}/${deeper}`);
    const sign = this.#isOrdered(list, level) ? `${count}.` : '-';
    return `${indent}${sign} ${text.replace(/\n/g, `\n${indent}  `)}`;
  }
}
