// The text of a Word document (DOCX) as Markdown: paragraphs, headings, lists, tables, notes.
// Deleted, moved-away and hidden text is left out, as it is on paper; pictures are counted.

import { Blocks, oneLine } from './docx_blocks.js';
import { local, orderedLists, paragraphStyles } from './docx_styles.js';
import { attribute, walk } from './xml.js';
import { entriesOf, unpack, ZipError } from './zip.js';

const DOCUMENT = 'word/document.xml';
const SKIPPED = new Set(['Fallback', 'del', 'moveFrom', 'pPrChange', 'rPrChange']);
const OFF = new Set(['0', 'false', 'off']);
const EVENTS_AT_ONCE = 50_000;
const TEXTS = { tab: '\t', br: '\n', cr: '\n', noBreakHyphen: '-' };

/** @param {Uint8Array} bytes of a ZIP archive */
export const isDocx = (bytes) => entriesOf(bytes).has(DOCUMENT);

/**
 * @param {Uint8Array} bytes
 * @returns {Promise<{text: string, pictures: number}>}
 * @throws {ZipError}
 */
export async function readDocx(bytes) {
  const entries = entriesOf(bytes);
  /** @param {string} name */
  const part = async (name) => {
    const entry = entries.get(name);
    return entry ? new TextDecoder().decode(await unpack(bytes, entry)) : '';
  };
  if (!entries.has(DOCUMENT)) throw new ZipError('damaged');
  const styles = {
    styleOf: paragraphStyles(await part('word/styles.xml')),
    isOrdered: orderedLists(await part('word/numbering.xml')),
  };
  const document = await readPart(await part(DOCUMENT), styles);
  const notes = readNotes(document.notes, await part('word/footnotes.xml'), await part('word/endnotes.xml'));
  return { text: [document.text, ...notes].join('\n\n').trim(), pictures: document.pictures };
}

/**
 * @typedef {{styleOf: (id: string) => import('./docx_styles.js').ParagraphStyle,
 *   isOrdered: (list: string, level: string) => boolean}} Styles
 * @typedef {{text: string, pictures: number, notes: string[]}} Part
 */

/** @param {string} xml @param {Styles} styles @returns {Promise<Part>} */
async function readPart(xml, styles) {
  const reader = new Reader(new Blocks(styles.styleOf, styles.isOrdered));
  let count = 0;
  for (const event of walk(xml)) {
    reader.read(event);
    // A long document must not freeze the page.
    if (++count % EVENTS_AT_ONCE === 0) await new Promise((resolve) => setTimeout(resolve));
  }
  return { text: reader.blocks.toString(), pictures: reader.pictures, notes: reader.notes };
}

/** Without styles, as in notes. */
const plainReader = () =>
  new Reader(
    new Blocks(
      () => ({}),
      () => false,
    ),
  );

/**
 * The notes that the text refers to, as Markdown footnotes in the order of their marks.
 *
 * @param {string[]} wanted
 * @param {string} footnotes
 * @param {string} endnotes
 */
function readNotes(wanted, footnotes, endnotes) {
  if (!wanted.length) return [];
  /** @type {Map<string, string>} */
  const texts = new Map();
  for (const [kind, xml] of [
    ['footnote', footnotes],
    ['endnote', endnotes],
  ]) {
    let note = plainReader();
    let id = '';
    for (const event of walk(xml)) {
      const isNote = local(event.name) === kind;
      if (isNote && event.kind === 'open') {
        note = plainReader();
        id = attribute(event, 'id') ?? '';
      } else if (isNote && event.kind === 'close') texts.set(kind + id, note.blocks.toString());
      else note.read(event);
    }
  }
  return wanted.map((name, i) => `[^${i + 1}]: ${oneLine(texts.get(name) ?? '')}`);
}

/** Turns the events of a document into blocks. */
class Reader {
  pictures = 0;
  /** @type {string[]} footnotes and endnotes in the order of their marks */
  notes = [];
  /** @type {import('./docx_blocks.js').Paragraph[]} a text box holds paragraphs within a paragraph */
  #paragraphs = [];
  #skipping = '';
  #skipDepth = 0;
  #inRun = false; // a <w:tab> outside of a run is a tab stop
  #inText = false;
  #isHidden = false;

  /** @param {Blocks} blocks */
  constructor(blocks) {
    this.blocks = blocks;
  }

  /** @param {import('./xml.js').XmlEvent} event */
  read(event) {
    const name = local(event.name);
    if (this.#skipping) {
      if (name === this.#skipping && event.kind !== 'text') this.#skipDepth += event.kind === 'open' ? 1 : -1;
      if (!this.#skipDepth) this.#skipping = '';
    } else if (event.kind === 'text') {
      if (this.#inText) this.#append(event.text);
    } else if (event.kind === 'open') this.#open(name, event);
    else this.#close(name);
  }

  /** @param {string} name @param {import('./xml.js').XmlEvent} event */
  #open(name, event) {
    if (SKIPPED.has(name)) [this.#skipping, this.#skipDepth] = [name, 1];
    else if (name === 'p') this.#paragraphs.push({ text: '', style: '', list: '', level: '' });
    else if (name === 'r') [this.#inRun, this.#isHidden] = [true, false];
    else if (name === 't') this.#inText = true;
    else if (name === 'tbl') this.blocks.openTable();
    else if (name === 'tr') this.blocks.openRow();
    else if (name === 'tc') this.blocks.openCell();
    else if (name === 'drawing' || name === 'pict') this.pictures++;
    else if (this.#inRun) this.#openInRun(name, event);
    else this.#setProperty(name, attribute(event, 'val') ?? '');
  }

  /** @param {string} name @param {import('./xml.js').XmlEvent} event */
  #openInRun(name, event) {
    if (name === 'vanish') this.#isHidden = !OFF.has(attribute(event, 'val') ?? '');
    else if (name === 'footnoteReference' || name === 'endnoteReference') this.#note(name, event);
    else if (name in TEXTS) this.#append(TEXTS[/** @type {keyof typeof TEXTS} */ (name)]);
  }

  /** @param {string} name @param {string} value */
  #setProperty(name, value) {
    const paragraph = this.#paragraphs.at(-1);
    if (!paragraph) return;
    if (name === 'pStyle') paragraph.style = value;
    else if (name === 'numId') paragraph.list = value;
    else if (name === 'ilvl') paragraph.level = value;
  }

  /** @param {string} name */
  #close(name) {
    const paragraph = name === 'p' ? this.#paragraphs.pop() : null;
    if (paragraph) this.blocks.addParagraph(paragraph);
    else if (name === 'r') this.#inRun = false;
    else if (name === 't') this.#inText = false;
    else if (name === 'tc') this.blocks.closeCell();
    else if (name === 'tbl') this.blocks.closeTable();
  }

  /** @param {string} text */
  #append(text) {
    const paragraph = this.#paragraphs.at(-1);
    if (paragraph && !this.#isHidden) paragraph.text += text;
  }

  /** @param {string} name @param {import('./xml.js').XmlEvent} event */
  #note(name, event) {
    this.notes.push(name.replace('Reference', '') + (attribute(event, 'id') ?? ''));
    this.#append(`[^${this.notes.length}]`);
  }
}
