// Conversations as Markdown that people can read, and back. Comments mark where messages begin.

import { linked } from './linking.js';
import { lineOf } from './shape.js';

const MARK = /^<!-- (user|assistant) -->$/m;
const CHAPTER = '<!-- conversation -->';

/** Lines that would be taken for marks carry a backslash; earlier files guarded headings, too. */
const guarded = (/** @type {string} */ text) =>
  text.replace(/^(\\*)(<!-- (?:user|assistant|conversation) -->)$/gm, '$1\\$2');
const unguarded = (/** @type {string} */ text) =>
  text.replace(/^(\\*)\\(<!-- (?:user|assistant|conversation) -->)$/gm, '$1$2');
const unguardedOld = (/** @type {string} */ text) =>
  text.replace(/^(\\*)\\(# |<!-- (?:user|assistant) -->$)/gm, '$1$2');

/**
 * @param {{title: string, path: import('../tree.js').Message[]}[]} list the branch of each conversation that is shown
 * @param {{you: string, assistant: string}} names
 */
export function asMarkdown(list, names) {
  return list
    .map(({ title, path }) => `${CHAPTER}\n# ${title}\n\n${path.map((message) => asText(message, names)).join('\n')}`)
    .join('\n');
}

/** @param {import('../tree.js').Message} message @param {{you: string, assistant: string}} names */
function asText({ role, text, model, files = [] }, names) {
  const who = role === 'user' ? names.you : (model ?? names.assistant);
  const attached = files.map((file) => ` · ${lineOf(file.name)}`).join('');
  return `<!-- ${role} -->\n**${who}**${attached}\n\n${guarded(text)}\n`;
}

/**
 * The conversations of a Markdown file: one for each mark, or for each heading in files that have none.
 *
 * @param {string} text
 * @returns {string[]}
 */
export function chapters(text) {
  const isNew = new RegExp(`^${CHAPTER}$`, 'm').test(text);
  const parts = isNew ? text.split(new RegExp(`^${CHAPTER}$`, 'm')) : text.split(/^(?=# )/m);
  return parts.filter((part) => MARK.test(part)).map((part) => (isNew ? part : CHAPTER + part));
}

/**
 * @param {string} chapter
 * @param {import('./shape.js').Origin} origin
 */
export function fromMarkdown(chapter, origin) {
  const isOld = chapter.startsWith(CHAPTER);
  const [head = '', ...rest] = chapter.slice(isOld ? CHAPTER.length : 0).split(MARK);
  /** @type {import('./shape.js').Found[]} */
  const found = [];
  for (let i = 0; i + 1 < rest.length; i += 2) {
    const role = /** @type {'user' | 'assistant'} */ (rest[i]);
    const body = rest[i + 1].replace(/^\n\*\*[^\n]*\n\n/, '').trimEnd();
    const text = isOld ? unguardedOld(body) : unguarded(body);
    found.push({ id: `${i}`, parent: i ? `${i - 2}` : null, role, text });
  }
  return linked(found, { title: head.trim().replace(/^# /, '') }, origin);
}
