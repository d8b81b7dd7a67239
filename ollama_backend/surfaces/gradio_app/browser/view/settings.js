// The settings: of this conversation, and of this browser. Needs a browser.

import { choicesOf, choose, chooseForNew, modelOf } from '../chat/choices.js';
import { signOut } from '../chat/keys.js';
import { state } from '../state.js';
import { t } from '../words.js';
import { openDialog } from './dialog.js';
import { button, el } from './dom.js';
import { flash } from './html.js';
import { thinkControl } from './header.js';
import { chooseTheme, THEMES, themeNow } from './theme.js';

const THEME_WORDS = { system: 'settings.asSystem', light: 'settings.light', dark: 'settings.dark' };
/** Name, smallest, largest, step. */
const OPTIONS = [
  ['temperature', 0, 2, 0.1],
  ['top_p', 0, 1, 0.05],
  ['top_k', 1, 1000, 1],
  ['min_p', 0, 1, 0.01],
  ['repeat_penalty', 0, 2, 0.05],
  ['num_predict', 1, null, 1],
  ['seed', 0, 2_147_483_647, 1],
];

/** @param {{languages: [string, string][], chooseLanguage: (tag: string) => void}} words the languages of the page */
export function openSettings(words) {
  openDialog('settings', t('settings.title'), (close) => [
    el('h3', {}, t('settings.forThis')),
    el('label', { for: 'system-prompt' }, t('settings.system')),
    el('textarea', {
      id: 'system-prompt',
      rows: 3,
      dir: 'auto',
      placeholder: t('settings.systemHint'),
      value: choicesOf().system,
      oninput: (event) => choose({ system: event.target.value }),
    }),
    modelOf()?.thinks && row('think-set', t('think.label'), t('think.hint'), thinkControl('think-set')),
    el('details', { class: 'options' }, el('summary', {}, t('settings.options')), OPTIONS.map(optionRow)),
    el('div', { class: 'row flows' }, resetButton(close, words), forNewButton()),
    el('h3', {}, t('settings.forAll')),
    row(
      'theme',
      t('settings.colours'),
      '',
      select(
        'theme',
        THEMES.map((name) => [name, t(THEME_WORDS[name])]),
        themeNow(),
        chooseTheme,
      ),
    ),
    words.languages.length > 1 &&
      row(
        'language',
        t('settings.language'),
        '',
        select(
          'language',
          [['', t('settings.asBrowser')], ...words.languages],
          state.settings.language ?? '',
          words.chooseLanguage,
        ),
      ),
    state.key &&
      state.site.access === 'key' &&
      el(
        'div',
        {},
        button(t('key.forget'), () => forget(close)),
      ),
    el('p', { class: 'quiet' }, t('settings.keys')),
    el('p', { class: 'quiet' }, storageWords()),
  ]);
}

const row = (id, label, hint, control) =>
  el('label', { class: 'option', for: id }, el('span', {}, label, hint && el('small', {}, hint)), control);

const select = (id, choices, now, chosen) =>
  el(
    'select',
    { id, onchange: (event) => chosen(event.target.value) },
    choices.map(([value, text]) => el('option', { value, selected: value === now }, text)),
  );

function optionRow([name, min, max, step]) {
  const { options = {} } = choicesOf();
  const changed = ({ target: field }) => {
    const { [name]: _, ...others } = choicesOf().options ?? {};
    if (!field.checkValidity()) field.reportValidity();
    else choose({ options: field.value === '' ? others : { ...others, [name]: Number(field.value) } });
  };
  const field = el('input', {
    id: `option-${name}`,
    type: 'number',
    inputmode: 'decimal',
    min,
    max: max ?? state.site.max_tokens ?? 4096,
    step,
    placeholder: t('settings.modelsOwn'),
    value: options[name],
    onchange: changed,
  });
  return row(`option-${name}`, t(`option.${name}`), t(`option.${name}Hint`), field);
}

const resetButton = (close, words) =>
  button(
    t('settings.reset'),
    () => {
      choose({ system: '', options: {}, think: undefined });
      close();
      openSettings(words);
    },
    { id: 'settings-reset' },
  );

function forNewButton() {
  const pressed = button(
    t('settings.forNew'),
    () => {
      chooseForNew();
      flash(pressed, t('settings.forNewDone'), t('settings.forNew'));
    },
    { id: 'settings-new' },
  );
  return pressed;
}

function forget(close) {
  close();
  signOut();
}

function storageWords() {
  const { usage, kind } = state.storage;
  if (kind === 'memory') return t('storage.denied');
  return t('storage.used', { size: usage });
}
