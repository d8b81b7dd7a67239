// Numbers and outcomes of an answer, in words.

import { shortName } from '../chat/choices.js';
import { t } from '../words.js';

/** @typedef {import('../tree.js').Message} Message */

/** @param {Message} message */
export function figuresOf({ stats = {}, model, context, role }) {
  if (role !== 'assistant') return '';
  const { tokens, eval_seconds: seconds, first, prompt_tokens: prompt } = stats;
  const used = (prompt ?? 0) + (tokens ?? 0);
  return [
    tokens && t('figures.tokens', { count: tokens }),
    tokens && seconds && t('figures.speed', { speed: tokens / seconds }),
    first !== undefined && t('figures.first', { seconds: Math.max(0.1, first) }),
    prompt && t('figures.prompt', { count: prompt }),
    context && used && t('figures.context', { used, total: context }),
    model && shortName(model),
  ]
    .filter(Boolean)
    .join(' · ');
}

/** How an answer ended, where that needs words. @param {Message} message */
export function outcomeOf({ end, error, stats, text, cut }) {
  if (end === 'stopped') return t('message.stopped');
  if (end === 'interrupted') return error || t('message.interrupted');
  if (end === 'failed') return error || t('message.failed');
  if (stats?.reason === 'length') return t('message.cut');
  if (end === 'done' && !text) return t('message.empty');
  return cut ? t('message.promptCut') : '';
}
