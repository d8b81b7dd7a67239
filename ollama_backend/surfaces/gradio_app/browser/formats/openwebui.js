// The export of Open WebUI: each conversation a tree of messages in `chat.history`.

import { linked } from './linking.js';
import { isObject, lineOf, listOf, picturesOf, textOf, timeOf } from './shape.js';

/** Thinking and tools stand in the content as folded parts of HTML; thinking is quoted line by line. */
const FOLDED = { start: '<details', end: '</details>' };
const OPENING = /^<details\b([^>]{0,2000})>\s*(?:<summary>[^<]{0,200}<\/summary>)?/;
const ENTITIES = new Map([
  ['&lt;', '<'],
  ['&gt;', '>'],
  ['&quot;', '"'],
  ['&#x27;', "'"],
  ['&#39;', "'"],
  ['&amp;', '&'],
]);

/** @param {unknown} source */
export const isOpenWebUi = (source) => isObject(source) && isObject(source.chat);

/**
 * @param {unknown} source
 * @param {import('./shape.js').Origin} origin
 */
export function fromOpenWebUi(source, origin) {
  if (!isObject(source) || !isObject(source.chat)) return null;
  const { chat } = source;
  const history = isObject(chat.history) ? chat.history : {};
  const nodes = isObject(history.messages) ? Object.entries(history.messages) : inARow(chat.messages);
  const found = nodes.map(([id, node]) => foundIn(id, node, origin.now));
  const about = {
    title: source.title ?? chat.title,
    head: history.currentId,
    created: timeOf(source.created_at ?? chat.timestamp, origin.now),
    at: timeOf(source.updated_at, origin.now),
    pinned: source.pinned === true,
    system: textOf(chat.system),
  };
  return linked(found, about, origin);
}

/** The messages of a conversation that has no tree. @param {unknown} messages @returns {[string, unknown][]} */
function inARow(messages) {
  const rows = listOf(messages).filter(isObject);
  return rows.map((row, i) => [`#${i}`, { ...row, parentId: i ? `#${i - 1}` : null }]);
}

/** @param {string} id @param {unknown} node @param {number} now @returns {import('./shape.js').Found} */
function foundIn(id, node, now) {
  if (!isObject(node)) return { id, parent: null, role: '', text: '' };
  const isKnown = node.role === 'user' || node.role === 'assistant';
  const { text, thinking, thought } = split(textOf(node.content));
  const files = listOf(node.files).filter(isObject);
  return {
    id,
    parent: typeof node.parentId === 'string' ? node.parentId : null,
    role: isKnown ? /** @type {'user' | 'assistant'} */ (node.role) : '',
    text,
    thinking,
    thought,
    model: lineOf(node.model),
    at: timeOf(node.timestamp, now),
    images: picturesOf(files.filter(({ type }) => type === 'image').map(({ url }) => url)),
    error: isObject(node.error) ? lineOf(node.error.content, 500) : '',
  };
}

/** @param {string} content */
function split(content) {
  /** @type {string[]} */
  const texts = [];
  /** @type {string[]} */
  const thoughts = [];
  let seconds = 0;
  let at = 0;
  for (;;) {
    const start = content.indexOf(FOLDED.start, at);
    const end = start < 0 ? -1 : content.indexOf(FOLDED.end, start);
    if (end < 0) break;
    const part = content.slice(start, end);
    const [opening, attributes] = OPENING.exec(part) ?? ['', ''];
    const isThinking = attributes.includes('type="reasoning"');
    const isTool = /type="(?:tool_calls|code_interpreter)"/.test(attributes);
    texts.push(content.slice(at, isThinking || isTool ? start : end + FOLDED.end.length));
    at = end + FOLDED.end.length;
    if (!isThinking) continue;
    thoughts.push(
      unescaped(
        part
          .slice(opening.length)
          .replace(/^(?:>|&gt;) ?/gm, '')
          .trim(),
      ),
    );
    seconds += Number(/duration="(\d{1,6})"/.exec(attributes)?.[1] ?? 0);
  }
  const text = [...texts, content.slice(at)].join('').trim();
  return { text, thinking: thoughts.join('\n\n'), thought: seconds || undefined };
}

/** @param {string} text */
const unescaped = (text) => text.replace(/&(?:lt|gt|quot|amp|#x27|#39);/g, (entity) => ENTITIES.get(entity) ?? entity);
