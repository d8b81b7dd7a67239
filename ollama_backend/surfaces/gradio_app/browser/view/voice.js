// One polite voice for screen readers: it says states, and the finished answer once. Needs a browser.

import { t } from '../words.js';
import { el } from './dom.js';

const MAX_LENGTH = 3000;
let announced = '';

export const voice = () => el('div', { class: 'sr', role: 'status', 'aria-live': 'polite', id: 'voice' });

export function announce(text) {
  const place = document.getElementById('voice');
  if (!text || text === announced || !place) return;
  announced = text;
  place.textContent = text;
}

/** @param {import('../tree.js').Message} message an answer that has ended */
export function announceEnd({ end, text, error }) {
  const how =
    { done: t('state.finished'), stopped: t('message.stopped'), failed: error || t('message.failed') }[end] ??
    t('message.interrupted');
  announce(`${how} ${text.replace(/[*_`#>|]+/g, ' ').slice(0, MAX_LENGTH)}`.trim());
}
