// What answers teach of their models: characters for each token, and how fast a prompt is read.

import { learnRatio, learnSpeed } from '../files/budget.js';
import { state } from '../state.js';
import { changeSettings, sameModel } from './choices.js';

/** The context that Ollama gives a model of which nothing is known (docs/faq). */
const USUAL_CONTEXT = 4096;

/** @returns {{ratio?: number, speeds: number[]}} */
export const learntOf = (model) => ({ speeds: [], ...state.settings.learnt?.[model] });

/**
 * The context length of the model that answers, in tokens.
 *
 * @param {import('../tree.js').Message[]} path
 */
export function contextOf(path, model = undefined) {
  const known = state.site.models.find((each) => sameModel(each.name, model ?? path.at(-1)?.model));
  return known?.context ?? path.findLast((message) => message.context)?.context ?? USUAL_CONTEXT;
}

/**
 * Learn from an answer.
 *
 * @param {import('../tree.js').Message} answer
 * @param {string} prompt all texts that were sent
 * @param {boolean} isFirst nothing of the prompt can have been in the model's cache
 */
export function learnFrom(answer, prompt, isFirst) {
  const { prompt_tokens: tokens, prompt_eval_seconds: seconds } = answer.stats ?? {};
  if (!tokens || !answer.model || answer.cut) return;
  const { ratio, speeds } = learntOf(answer.model);
  const learnt = {
    ratio: learnRatio(ratio, prompt, tokens),
    speeds: isFirst && seconds ? learnSpeed(speeds, tokens, seconds) : speeds,
  };
  changeSettings({ learnt: { ...state.settings.learnt, [answer.model]: learnt } });
}
