// The messages of a conversation as the model gets them. What stands before a new question never changes, so that
// Ollama reads it once.

import { bestThatFit, createIndex, wrapPassages } from './bm25.js';
import { chunksOf } from './chunks.js';

/**
 * @typedef {import('./plan.js').StoredFile} StoredFile
 * @typedef {{role: 'user' | 'assistant', text: string, files?: StoredFile[]}} Sent
 */

/** The share of the context that passages may take. */
const SHARE = 1 / 3;

/**
 * The content of each message: its files as they were sent, then its text. Passages that fit the last question stand
 * in front of it, and of no other message.
 *
 * @param {Sent[]} path
 * @param {{context: number, ratio?: number}} model
 * @returns {string[]}
 */
export function contentsOf(path, { context, ratio }) {
  const contents = path.map(({ text, files = [] }) => {
    const whole = files.filter(({ kind }) => kind !== 'passages').map((file) => file.text);
    return [...whole, text].filter(Boolean).join('\n\n');
  });
  const last = path.length - 1;
  const passages = path[last]?.role === 'user' ? passagesFor(path, Math.floor(context * SHARE), ratio) : '';
  return contents.map((content, i) => (i === last && passages ? `${passages}\n\n${content}` : content));
}

/**
 * @param {Sent[]} path
 * @param {number} tokens
 * @param {number} [ratio]
 */
function passagesFor(path, tokens, ratio) {
  const files = path.flatMap((message) => message.files ?? []).filter(({ kind }) => kind === 'passages');
  if (!files.length) return '';
  const [question, before] = path
    .filter(({ role }) => role === 'user')
    .map(({ text }) => text)
    .reverse();
  const index = createIndex(files.flatMap((file) => chunksOf(file)));
  return wrapPassages(bestThatFit(index, question, tokens, { ratio, before }));
}

/**
 * The texts that a citation leads to: the page of a file, or the file where it has no pages.
 *
 * @param {StoredFile[]} files
 * @param {{file: string, page: number | null}} citation
 * @returns {string | null}
 */
export function citedText(files, { file, page }) {
  const found = files.find(({ name }) => name === file);
  if (!found) return null;
  if (page === null) return found.text;
  if (found.pages) return found.pages[page - 1] ?? null;
  return (
    new RegExp(`\\[p\\. ${page}\\]\\n([^]*?)(?=\\n\\n\\[p\\. \\d+\\]\\n|\\n</file>$|$)`).exec(found.text)?.[1] ?? null
  );
}
