// A small, tolerant walker over XML. It knows no entities but the five of XML and numbers, so nothing can expand.

const NAMED = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };
const ENTITY = /&(?:#(\d{1,7})|#x([\da-f]{1,6})|(lt|gt|amp|quot|apos));/gi;
const MAX_ATTRIBUTES_LENGTH = 4096;
const ATTRIBUTE = /([^\s=/"'<>]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;

/**
 * @typedef {object} XmlEvent
 * @property {'open' | 'close' | 'text'} kind an empty element gives `open` and `close`
 * @property {string} name of an element, with its prefix
 * @property {string} text of a text, entities decoded
 * @property {string} source attributes of an element as they stand; `attribute()` reads one
 */

/**
 * Walk through the elements and texts of a document in order.
 *
 * @param {string} xml
 * @returns {Generator<XmlEvent>}
 * @yields {XmlEvent}
 */
export function* walk(xml) {
  let at = 0;
  while (at < xml.length) {
    const next = xml.indexOf('<', at);
    const until = next < 0 ? xml.length : next;
    if (until > at) yield { kind: 'text', name: '', source: '', text: decodeEntities(xml.slice(at, until)) };
    if (next < 0) return;
    const skipped = pastSpecial(xml, next);
    if (skipped.text) yield { kind: 'text', name: '', source: '', text: skipped.text };
    if (skipped.at) {
      at = skipped.at;
      continue;
    }
    const end = endOfTag(xml, next);
    yield* tagEvents(xml.slice(next + 1, end));
    at = end + 1;
  }
}

/**
 * @param {string} tag what stands between `<` and `>`
 * @returns {Generator<XmlEvent>}
 * @yields {XmlEvent} its opening, its end, or both
 */
function* tagEvents(tag) {
  const closes = tag.startsWith('/');
  const name = /^[^\s/]+/.exec(closes ? tag.slice(1) : tag)?.[0] ?? '';
  if (!closes) yield { kind: 'open', name, source: tag.slice(name.length), text: '' };
  if (closes || tag.endsWith('/')) yield { kind: 'close', name, source: '', text: '' };
}

/** Where a comment, CDATA section, declaration or instruction ends, with the text of a CDATA section. */
function pastSpecial(/** @type {string} */ xml, /** @type {number} */ at) {
  const second = xml[at + 1];
  if (second !== '!' && second !== '?') return { at: 0, text: '' };
  const isData = xml.startsWith('<![CDATA[', at);
  const close = isData ? ']]>' : xml.startsWith('<!--', at) ? '-->' : second === '?' ? '?>' : '>';
  const found = xml.indexOf(close, at + 2);
  const end = found < 0 ? xml.length : found + close.length;
  return { at: end, text: isData ? xml.slice(at + 9, found < 0 ? xml.length : found) : '' };
}

/** The `>` that ends a tag: one inside quotes does not. */
function endOfTag(/** @type {string} */ xml, /** @type {number} */ start) {
  let quote = '';
  for (let at = start + 1; at < xml.length; at++) {
    const letter = xml[at];
    if (quote) {
      if (letter === quote) quote = '';
    } else if (letter === '"' || letter === "'") quote = letter;
    else if (letter === '>') return at;
  }
  return xml.length;
}

/**
 * One attribute of an element, by its name without a prefix. Null where there is none.
 *
 * @param {XmlEvent} element
 * @param {string} wanted
 * @returns {string | null}
 */
export function attribute(element, wanted) {
  for (const [, name, double, single] of element.source.slice(0, MAX_ATTRIBUTES_LENGTH).matchAll(ATTRIBUTE)) {
    if (name === wanted || name.endsWith(`:${wanted}`)) return decodeEntities(double ?? single ?? '');
  }
  return null;
}

/** @param {string} text */
function decodeEntities(text) {
  if (!text.includes('&')) return text;
  return text.replace(ENTITY, (entity, decimal, hex, name) => {
    if (name) return NAMED[/** @type {keyof typeof NAMED} */ (name.toLowerCase())];
    const code = decimal ? Number.parseInt(decimal, 10) : Number.parseInt(hex, 16);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : entity;
  });
}
