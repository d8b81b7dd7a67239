// The bar above the conversation. Needs a browser.

import { choicesOf, choose, modelOf, sameModel, shortName } from '../chat/choices.js';
import { freshConversation } from '../chat/conversations.js';
import { refreshModels } from '../server/watch.js';
import { state } from '../state.js';
import { formatBytes } from '../languages/numbers.js';
import { locale, t } from '../words.js';
import { el, icon, iconButton, redraw } from './dom.js';
import { focusBox } from './focus.js';

export const headerPlace = () => el('div', { id: 'top' });

/** @param {{toggleSide: () => void, openSettings: () => void, openMore: (opener: HTMLElement) => void}} acts */
export function drawHeader(acts) {
  const place = document.getElementById('top');
  if (!place) return;
  const { access, model, models } = state.site;
  const { sideOpen } = state.ui;
  redraw(place, [access, model, models, choicesOf(), sideOpen], () => [
    el(
      'header',
      {},
      iconButton('menu', t('list.title'), acts.toggleSide, {
        id: 'menu',
        'aria-expanded': String(sideOpen),
        'aria-controls': 'side',
      }),
      el('h1', { class: 'sr' }, t('app.title')),
      modelPicker(),
      thinkPicker(),
      el('span', { class: 'space' }),
      iconButton('plus', t('list.new'), () => freshConversation().then(focusBox), { id: 'fresh-top' }),
      iconButton('gear', t('settings.title'), acts.openSettings, { id: 'open-settings' }),
      iconButton('more', t('action.more'), (event) => acts.openMore(event.currentTarget), {
        id: 'more',
        'aria-haspopup': 'menu',
        'aria-expanded': 'false',
      }),
    ),
  ]);
}

/** The name alone is seen; the browser's own control, laid over it, tells more. */
const picker = (shown, control) =>
  el('span', { class: 'picker' }, el('span', { 'aria-hidden': 'true' }, shown), icon('open'), control);

/** @param {import('../state.js').Model} model */
function modelLabel(model) {
  const { name, parameter_size: parameters, size, thinks, sees, note } = model;
  const can = [thinks && t('model.thinks'), sees && t('model.sees')];
  return [shortName(name), parameters, size && formatBytes(size, locale()), ...can, note].filter(Boolean).join(' · ');
}

function modelPicker() {
  const { models, model } = state.site;
  if (!models.length) return el('span', { class: 'quiet' }, model ?? '');
  const chosen = modelOf();
  const options = models.map((each) => el('option', { value: each.name, selected: each === chosen }, modelLabel(each)));
  const gone = choicesOf().model;
  const isGone = gone && !models.some((each) => sameModel(each.name, gone));
  if (!chosen) options.unshift(el('option', { value: '', selected: true }, model));
  const control = el(
    'select',
    {
      id: 'model',
      'aria-label': t('model.label'),
      title: t('model.label'),
      onchange: (event) => choose({ model: event.target.value }),
    },
    options,
  );
  // Models that were installed meanwhile are there when the list opens.
  for (const event of ['pointerenter', 'focus']) control.addEventListener(event, refreshModels);
  return [
    picker(shortName(chosen?.name ?? model), control),
    isGone && el('span', { class: 'quiet gone' }, t('model.gone', { model: shortName(gone) })),
  ];
}

function thinkPicker() {
  const model = modelOf();
  if (!model?.thinks) return null;
  return picker(t('think.now', { level: levelWords(choicesOf().think, model) }), thinkControl('think'));
}

const levelWords = (think, model) => t(`think.${levelsOf(model).find((level) => thinkOf(level) === think) ?? 'auto'}`);

/** The levels that a model knows. @param {import('../state.js').Model} model */
const levelsOf = (model) => ['auto', ...(model.levels ?? ['on', 'off'])];
const VALUES = new Map([
  ['auto', undefined],
  ['on', true],
  ['off', false],
]);
const thinkOf = (level) => (VALUES.has(level) ? VALUES.get(level) : level);

/** @param {string} id */
export function thinkControl(id) {
  const model = modelOf();
  const { think } = choicesOf();
  const levels = levelsOf(model);
  const now = levels.find((level) => thinkOf(level) === think) ?? 'auto';
  const chosen = (event) => choose({ think: thinkOf(event.target.value) });
  const options = levels.map((level) => el('option', { value: level, selected: level === now }, t(`think.${level}`)));
  return el('select', { id, 'aria-label': t('think.label'), title: t('think.label'), onchange: chosen }, options);
}
