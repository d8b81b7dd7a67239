// What a file costs: tokens by estimate, the room for them, and how long this machine reads.

/** Characters for each token before a model's own ratio is known. */
export const FIRST_RATIO = 3.6;

/** Tokens kept free for the reply, without and with thinking. */
const REPLY = { plain: 1024, thinking: 2048 };

const RATIOS = { least: 1.5, most: 6, share: 0.3, characters: 400 };
const SPEEDS = { tokens: 100, kept: 5 };

/**
 * How many characters of a text are Chinese, Japanese or Korean (about one token each), and how many are not.
 *
 * @param {string} text
 */
function countCharacters(text) {
  let cjk = 0;
  let low = 0; // second halves of surrogate pairs
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x1100) continue;
    if (code >= 0xdc00 && code <= 0xdfff) low++;
    else if (isCjk(code)) cjk++;
  }
  return { cjk, other: text.length - cjk - low };
}

/** @param {number} code a UTF-16 unit */
function isCjk(code) {
  return (
    (code >= 0x3040 && code <= 0x30ff) ||
    (code >= 0x3400 && code <= 0x9fff) ||
    (code >= 0xac00 && code <= 0xd7af) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xd840 && code <= 0xd88f) // first halves of the planes with rarer ideographs
  );
}

/**
 * About how many tokens a text is.
 *
 * @param {string} text
 * @param {number} [ratio] characters for each token, as `learnRatio` gives it
 */
export function estimateTokens(text, ratio = FIRST_RATIO) {
  const { cjk, other } = countCharacters(text);
  return Math.ceil(cjk + other / ratio);
}

/**
 * The ratio of a model after one more finished answer. Prompts too short to say anything change nothing.
 *
 * @param {number | undefined} before
 * @param {string} prompt all texts that went up
 * @param {number} tokens `prompt_eval_count` of the answer
 */
export function learnRatio(before, prompt, tokens) {
  const { cjk, other } = countCharacters(prompt);
  const known = before ?? FIRST_RATIO;
  if (other < RATIOS.characters || tokens <= cjk) return known;
  const found = Math.min(RATIOS.most, Math.max(RATIOS.least, other / (tokens - cjk)));
  return before === undefined ? found : known + RATIOS.share * (found - known);
}

/**
 * The measured reading speeds of a model, the latest last, after one more answer. Give the tokens that were really
 * read: what Ollama still had in its cache costs no time, though `prompt_eval_count` includes it.
 *
 * @param {number[]} before
 * @param {number} tokens
 * @param {number} seconds `prompt_eval_duration`
 * @returns {number[]} tokens per second
 */
export function learnSpeed(before, tokens, seconds) {
  if (tokens < SPEEDS.tokens || !(seconds > 0)) return before;
  return [...before, tokens / seconds].slice(-SPEEDS.kept);
}

/**
 * Seconds that reading takes, by the slowest of the latest speeds: others may have used the cache. Null if unknown.
 *
 * @param {number} tokens
 * @param {number[]} speeds
 */
export const readingSeconds = (tokens, speeds) => (speeds.length ? tokens / Math.min(...speeds) : null);

/**
 * Tokens that are free for files in the next message.
 *
 * @param {{context: number, system: string, history: string, thinks: boolean, ratio?: number}} now `context` is the
 *   running context in tokens, `history` all texts so far
 */
export function freeTokens({ context, system, history, thinks, ratio }) {
  const reply = thinks ? REPLY.thinking : REPLY.plain;
  // A small context is shared, or nothing would ever fit.
  const kept = Math.min(reply, Math.floor(context / 4));
  return Math.max(0, context - kept - estimateTokens(system, ratio) - estimateTokens(history, ratio));
}

/** Two or three figures are enough for an estimate: 3127 becomes 3100, 84 stays. */
export function roundAbout(/** @type {number} */ count) {
  const step = count < 100 ? 1 : count < 1000 ? 10 : 10 ** (Math.floor(Math.log10(count)) - 1);
  return Math.round(count / step) * step;
}

/**
 * The words for what files cost.
 *
 * @param {{tokens: number, free: number, seconds: number | null}} cost
 * @returns {{key: string, values: Record<string, number>}[]} keys of the words
 */
export function costWords({ tokens, free, seconds }) {
  const fits = tokens <= free;
  /** @type {{key: string, values: Record<string, number>}[]} */
  const words = [
    { key: fits ? 'file.cost' : 'file.costTooMuch', values: { tokens: roundAbout(tokens), free: roundAbout(free) } },
  ];
  if (fits && seconds !== null && seconds >= 5) words.push({ key: 'file.readingTime', values: { estimate: seconds } });
  return words;
}
