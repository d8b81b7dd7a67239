// A text in sentences for speechSynthesis, each with its language.

import { languageOf } from './language_guess.js';
import { spokenParts } from './plain.js';

/** Engines fall silent in sentences that are much longer. */
const MAX_LENGTH = 250;

/**
 * @typedef {{text: string, language: string}} Sentence
 * @param {string} markdown an answer as it was written
 * @param {{language: string, t: (key: string) => string}} page the page's language: for what is announced, and where a
 *   text does not show its own
 * @returns {Sentence[]}
 */
export function sentencesOf(markdown, { language, t }) {
  const parts = spokenParts(markdown);
  const whole = languageOf(parts.map(({ text }) => text).join('\n'), language);
  return parts.flatMap(({ kind, text }) => {
    if (kind !== 'text') return [{ text: t(kind === 'code' ? 'speech.code' : 'speech.formula'), language }];
    const own = languageOf(text, whole);
    return split(text, own).map((sentence) => ({ text: sentence, language: own }));
  });
}

/**
 * @param {string} text
 * @param {string} language
 * @returns {string[]}
 */
export function split(text, language) {
  const found =
    typeof Intl.Segmenter === 'function'
      ? [...new Intl.Segmenter(language, { granularity: 'sentence' }).segment(text)].map(({ segment }) => segment)
      : (text.match(/[^.!?。！？؟।]+[.!?。！？؟।]*["'”’)\]]*\s*/g) ?? [text]);
  return found
    .flatMap(shortened)
    .map((sentence) => sentence.trim())
    .filter((sentence) => /[\p{L}\p{N}]/u.test(sentence));
}

/** @param {string} sentence @returns {string[]} */
function shortened(sentence) {
  if (sentence.length <= MAX_LENGTH) return [sentence];
  const start = sentence.slice(0, MAX_LENGTH);
  const pause = Math.max(...[', ', '; ', ': ', '、', '，', '；', '،'].map((sign) => start.lastIndexOf(sign)));
  const at = pause > MAX_LENGTH / 3 ? pause + 1 : start.lastIndexOf(' ') > 0 ? start.lastIndexOf(' ') : MAX_LENGTH;
  return [sentence.slice(0, at), ...shortened(sentence.slice(at))];
}
