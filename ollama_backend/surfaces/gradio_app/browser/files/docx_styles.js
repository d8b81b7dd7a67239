// What a DOCX says about its paragraphs: which styles are headings, and how its lists are numbered.

import { attribute, walk } from './xml.js';

/** @param {string} name of an element, with its prefix */
export const local = (name) => name.slice(name.indexOf(':') + 1);

/** @typedef {{heading?: number, list?: string, level?: string, basedOn?: string}} ParagraphStyle */

/**
 * What each paragraph style says of headings and lists, with what it inherits.
 * Word translates a style's id, but not the name of a built-in style.
 *
 * @param {string} xml `word/styles.xml`
 * @returns {(id: string) => ParagraphStyle}
 */
export function paragraphStyles(xml) {
  /** @type {Map<string, ParagraphStyle>} */
  const styles = new Map();
  /** @type {ParagraphStyle} */
  let style = {};
  for (const event of walk(xml)) {
    if (event.kind !== 'open') continue;
    const name = local(event.name);
    const value = attribute(event, 'val') ?? '';
    if (name === 'style') {
      style = {};
      styles.set(attribute(event, 'styleId') ?? '', style);
    } else if (name === 'name')
      style.heading ??= /^title$/i.test(value) ? 1 : level(/^heading (\d)$/i.exec(value)?.[1]);
    else if (name === 'outlineLvl') style.heading ??= level(Number(value) + 1);
    else if (name === 'numId') style.list = value;
    else if (name === 'ilvl') style.level = value;
    else if (name === 'basedOn') style.basedOn = value;
  }
  return (id) => inherited(styles, id);
}

/** @param {string | number | undefined} value */
function level(value) {
  const found = Number(value);
  return found >= 1 && found <= 6 ? found : undefined;
}

/** @param {Map<string, ParagraphStyle>} styles @param {string} id @returns {ParagraphStyle} */
function inherited(styles, id) {
  /** @type {ParagraphStyle} */
  const found = {};
  let at = styles.get(id);
  for (let steps = 0; at && steps < 10; steps++) {
    found.heading ??= at.heading;
    found.list ??= at.list;
    found.level ??= at.level;
    at = styles.get(at.basedOn ?? '');
  }
  return found;
}

/**
 * Whether a list counts at a level: `isOrdered('3', '0')` for the list 3 at its outermost level.
 *
 * @param {string} xml `word/numbering.xml`
 * @returns {(list: string, level: string) => boolean}
 */
export function orderedLists(xml) {
  /** @type {Map<string, boolean>} */
  const ordered = new Map();
  /** @type {Map<string, string>} */
  const definitions = new Map();
  let definition = '';
  let at = '';
  let list = '';
  for (const event of walk(xml)) {
    if (event.kind !== 'open') continue;
    const name = local(event.name);
    const value = attribute(event, 'val') ?? '';
    if (name === 'abstractNum') definition = attribute(event, 'abstractNumId') ?? '';
    else if (name === 'lvl') at = attribute(event, 'ilvl') ?? '';
    else if (name === 'numFmt') ordered.set(`${definition}/${at}`, value !== 'bullet' && value !== 'none');
    else if (name === 'num') list = attribute(event, 'numId') ?? '';
    else if (name === 'abstractNumId') definitions.set(list, value);
  }
  return (wanted, depth) => ordered.get(`${definitions.get(wanted)}/${depth}`) ?? false;
}
