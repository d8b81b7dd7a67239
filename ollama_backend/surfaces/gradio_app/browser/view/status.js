// What goes on, under the conversation: the state of the answer and of the server, progress, notices. Needs a browser.

import { runningHere, shownPath } from '../chat/acts.js';
import { shareUsed } from '../context_use.js';
import { speedOf } from '../live.js';
import { notice, state } from '../state.js';
import { formatDuration } from '../languages/durations.js';
import { locale, t } from '../words.js';
import { button, el, iconButton, redraw } from './dom.js';
import { toEnd } from './scrolling.js';
import { announce } from './voice.js';

const NEARLY_FULL = 0.75;

export const statusPlaces = () =>
  el(
    'div',
    { id: 'tail' },
    ['down-place', 'state', 'progress', 'notice'].map((id) => el('div', { id })),
  );

/** @param {import('../live.js').Live} live */
function stateWords(live) {
  if (live.state === 'preparing') return live.reason || t('state.waitingForOllama');
  if (live.state === 'waiting')
    return live.position ? t('state.inLine', { position: live.position }) : t('state.waiting');
  return t(`state.${live.state}`);
}

/** The answer that is being written here. */
function liveHere() {
  const running = runningHere();
  return running && state.live.get(running.id);
}

/** What is the matter, or goes on. */
function words(live) {
  if (!state.reached) return t('state.noConnection');
  if (live) return state.ui.stopping.has(live.id) ? t('state.stopping') : stateWords(live);
  const { access, status, reason } = state.site;
  if (access === '') return t('state.connecting');
  if (access === 'denied') return '';
  return status === 'ok' && !reason ? contextWords() : (reason ?? '');
}

/** How full the context is, where that begins to matter. */
function contextWords() {
  const last = shownPath().at(-1);
  if (!last || shareUsed(last) < NEARLY_FULL) return '';
  const { prompt_tokens: prompt, tokens = 0 } = last.stats;
  return t('figures.context', { used: prompt + tokens, total: last.context });
}

/** How long it has been at this, and how fast it is. */
function elapsed(live) {
  if (!live || !state.reached) return '';
  const speed = live.state === 'writing' || live.state === 'thinking' ? speedOf(live, Date.now()) : 0;
  if (speed) return t('figures.speed', { speed });
  const seconds = Math.floor((Date.now() - live.since) / 1000);
  return seconds < 2 ? '' : formatDuration(seconds, locale());
}

export function drawStatus() {
  const place = document.getElementById('state');
  if (!place) return;
  const live = liveHere();
  const text = words(live);
  const more = elapsed(live);
  place.className = live || !state.reached || state.site.status === 'starting' ? 'busy' : '';
  redraw(place, [text, more], () => (text ? [dots(), text, more && el('span', { class: 'quiet' }, more)] : []));
  drawProgress(live);
  redraw(document.getElementById('notice'), [state.notice?.text, state.notice?.action], noticeParts);
  redraw(document.getElementById('down-place'), [state.ui.following], () =>
    state.ui.following ? [] : [iconButton('down', t('box.toEnd'), () => toEnd(true), { id: 'down' })],
  );
  if (live || !state.reached) announce(live?.state === 'waiting' && live.position ? t('state.waiting') : text);
}

const dots = () => el('span', { class: 'dots', 'aria-hidden': 'true' }, el('i'), el('i'), el('i'));

function drawProgress(live) {
  const { total, completed } = state.site;
  const isShown = total > 0 && (!live || live.state === 'preparing');
  redraw(document.getElementById('progress'), [isShown && completed, total], () =>
    isShown ? [el('progress', { max: total, value: completed, 'aria-label': t('state.download') })] : [],
  );
}

function noticeParts() {
  if (!state.notice) return [];
  const { text, action, act } = state.notice;
  const done = () => {
    notice('');
    act();
  };
  return [
    el(
      'p',
      { role: 'alert' },
      el('span', {}, text),
      action && button(action, done, { id: 'notice-act' }),
      iconButton('close', t('action.dismiss'), () => notice('')),
    ),
  ];
}
