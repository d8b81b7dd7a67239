// Which chunks fit a question best, by BM25 (Robertson and Zaragoza, 2009). Good for names and numbers.

import { escapeTags, safeName } from './attach.js';
import { estimateTokens } from './budget.js';

const K1 = 1.2;
const B = 0.75;
const BEFORE = 0.4; // weight of the words of the question before: "And in 2023?" means little alone

/** Scripts that put no blanks between words: their runs are taken as pairs of letters. */
const SCRIPTS = ['Han', 'Hiragana', 'Katakana', 'Hangul', 'Thai', 'Lao', 'Khmer', 'Myanmar'];
const UNSPACED = new RegExp(`[ー${SCRIPTS.map((name) => `\\p{Script=${name}}`).join('')}]+`, 'gu');
const WORD = /[\p{L}\p{N}\p{M}]+/gu;

/**
 * The words of a text as they are compared: without case, accents of Latin letters and the plural's s.
 *
 * @param {string} text
 * @returns {string[]}
 */
export function terms(text) {
  const plain = text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .normalize('NFC')
    .toLowerCase();
  /** @type {string[]} */
  const found = [];
  for (const [run] of plain.matchAll(UNSPACED)) {
    const letters = [...run];
    if (letters.length === 1) found.push(run);
    for (let i = 0; i + 1 < letters.length; i++) found.push(letters[i] + letters[i + 1]);
  }
  for (const [word] of plain.replace(UNSPACED, ' ').matchAll(WORD)) {
    found.push(/^[a-z]{3,}[^s]s$/.test(word) ? word.slice(0, -1) : word);
  }
  return found;
}

/**
 * @typedef {import('./chunks.js').Chunk} Chunk
 * @typedef {{chunks: Chunk[], counts: Map<string, number>[], lengths: number[], average: number,
 *   containing: Map<string, number>}} Index
 */

/** @param {Chunk[]} chunks @returns {Index} */
export function createIndex(chunks) {
  /** @type {Map<string, number>} */
  const containing = new Map();
  const counts = chunks.map((chunk) => {
    /** @type {Map<string, number>} */
    const count = new Map();
    for (const term of terms(chunk.text)) count.set(term, (count.get(term) ?? 0) + 1);
    for (const term of count.keys()) containing.set(term, (containing.get(term) ?? 0) + 1);
    return count;
  });
  const lengths = counts.map((count) => [...count.values()].reduce((sum, n) => sum + n, 0));
  const average = lengths.reduce((sum, n) => sum + n, 0) / Math.max(1, lengths.length);
  return { chunks, counts, lengths, average, containing };
}

/**
 * The chunks that share words with a question, the best first.
 *
 * @param {Index} index
 * @param {string} question
 * @param {string} [before] the question before it
 * @returns {{chunk: Chunk, score: number}[]}
 */
export function rank(index, question, before = '') {
  const weights = new Map(terms(before).map((term) => [term, BEFORE]));
  for (const term of terms(question)) weights.set(term, 1);
  const total = index.chunks.length;
  const scored = index.chunks.map((chunk, i) => {
    let score = 0;
    for (const [term, weight] of weights) {
      const count = index.counts[i].get(term);
      if (!count) continue;
      const containing = index.containing.get(term) ?? 0;
      const rarity = Math.log(1 + (total - containing + 0.5) / (containing + 0.5));
      const length = 1 - B + (B * index.lengths[i]) / index.average;
      score += (weight * rarity * count * (K1 + 1)) / (count + K1 * length);
    }
    return { chunk, score };
  });
  return scored.filter(({ score }) => score > 0).sort((a, b) => b.score - a.score || a.chunk.index - b.chunk.index);
}

/**
 * The best chunks within a number of tokens, in the order of their files. Where none shares a word with the question
 * ("What is this about?") the beginnings are given.
 *
 * @param {Index} index
 * @param {string} question
 * @param {number} tokens usually a third of the context
 * @param {{ratio?: number, before?: string}} [options]
 * @returns {Chunk[]}
 */
export function bestThatFit(index, question, tokens, { ratio, before } = {}) {
  const ranked = rank(index, question, before).map(({ chunk }) => chunk);
  const byPlace = [...index.chunks].sort((a, b) => a.index - b.index);
  const chosen = new Set();
  let left = tokens;
  for (const chunk of ranked.length ? ranked : byPlace) {
    const cost = estimateTokens(chunk.text, ratio) + 12; // and its tags
    if (cost > left) continue;
    left -= cost;
    chosen.add(chunk);
    if (left < 30) break;
  }
  return index.chunks.filter((chunk) => chosen.has(chunk));
}

/**
 * Chunks as they stand in front of a question.
 *
 * @param {Chunk[]} chunks in the order of their files
 * @returns {string} empty where there are none
 */
export function wrapPassages(chunks) {
  /** @type {Map<string, Chunk[]>} */
  const byFile = new Map();
  for (const chunk of chunks) byFile.set(chunk.file, [...(byFile.get(chunk.file) ?? []), chunk]);
  return [...byFile]
    .map(([file, own]) => {
      const name = safeName(file);
      const example = own[0].page ? `[${name}, p. ${own[0].page}]` : `[${name}]`;
      const header = own[0].header ? `${escapeTags(own[0].header)}\n` : '';
      const passages = own.map((chunk) => {
        const page = chunk.page ? ` page="${chunk.page}"` : '';
        return `<passage${page}>\n${escapeTags(chunk.text)}\n</passage>`;
      });
      const note = `the parts that fit the question best, not the whole file; cite like ${example}`;
      return `<passages file="${name}" note="${note}">\n${header}${passages.join('\n')}\n</passages>`;
    })
    .join('\n\n');
}
