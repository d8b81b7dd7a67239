// What an empty conversation shows: examples, what to expect of its model, or the form for the key. Needs a browser.

import { send, shownPath } from '../chat/acts.js';
import { choose, modelOf, sameModel, shortName } from '../chat/choices.js';
import { tryKey } from '../chat/keys.js';
import { setKeyFault, state } from '../state.js';
import { t } from '../words.js';
import { button, el, icon, redraw } from './dom.js';
import { focusBox } from './focus.js';
import { copyAndSay } from './html.js';

const WAYS = [
  ['welcome.installOllama', 'curl -fsSL https://ollama.com/install.sh | sh'],
  ['welcome.useGguf', 'CHAT_GGUF=hf://Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf ./start.sh'],
  ['welcome.useElsewhere', 'OLLAMA_HOST=http://HOST:11434 ./start.sh'],
];
const EXAMPLES = {
  model: ['rainbow', 'primes', 'databases', 'dinner'],
  guide: ['what', 'api', 'install', 'kept'],
};
const isGuide = (model) => sameModel(model?.name, 'guide');
const isTiny = (model) => sameModel(model?.name, 'smollm2:135m');

export const welcomePlace = () => el('div', { id: 'empty' });

export function drawWelcome() {
  const place = document.getElementById('empty');
  if (!place) return;
  const { access, models, engine, notice } = state.site;
  const model = modelOf();
  const isEmpty = !shownPath().length;
  const guide = models.find(isGuide);
  redraw(place, [access, state.keyFault, state.key !== '', isEmpty, model?.name, !!guide, engine, notice], () => {
    if (access === 'denied') return [signInForm()];
    if (!isEmpty || !access) return [];
    return [
      el(
        'section',
        { class: 'welcome', 'aria-label': t('welcome.examples') },
        el('h2', {}, t('welcome.title')),
        about(model),
        el('div', { class: 'examples' }, examplesFor(model).map(example)),
        guide &&
          !isGuide(model) &&
          button(t('welcome.askGuide'), () => askGuide(guide), { id: 'ask-guide', class: 'plain' }),
      ),
    ];
  });
}

const examplesFor = (model) => EXAMPLES[isGuide(model) ? 'guide' : 'model'].map((name) => t(`example.${name}`));
const example = (text) =>
  button(
    text,
    () => {
      send(text);
      focusBox();
    },
    { class: 'plain example' },
  );

function askGuide(guide) {
  choose({ model: guide.name });
  focusBox();
}

/** What to expect of a model that comes with the server, and how to get a better one. */
function about(model) {
  const comesAlong = isGuide(model) || isTiny(model);
  const { engine, notice } = state.site;
  const words = comesAlong ? aboutIncluded(model) : model?.note;
  if (!words && !notice) return null;
  return el(
    'div',
    { class: 'about' },
    words && el('p', { class: 'quiet' }, words),
    notice && el('p', { class: 'quiet', dir: 'auto' }, notice),
    comesAlong && engine === 'embedded' && betterModels(),
  );
}

const aboutIncluded = (model) =>
  isGuide(model) ? t('welcome.guide') : t('welcome.small', { model: shortName(model.name) });

const betterModels = () =>
  el(
    'details',
    {},
    el('summary', {}, icon('open'), t('welcome.betterModel')),
    WAYS.map(([words, command]) => wayTo(t(words), command)),
  );

function wayTo(words, command) {
  const copy = button(t('action.copy'), () => copyAndSay(command, copy.lastChild), { 'data-act': 'copy' });
  return el(
    'div',
    { class: 'way' },
    el('p', {}, words),
    el('div', { class: 'row' }, el('code', { dir: 'ltr' }, command), copy),
  );
}

function signInForm() {
  const hasChanged = state.key !== '';
  const field = el('input', {
    id: 'key',
    type: 'password',
    autocomplete: 'current-password',
    required: true,
    'aria-describedby': 'key-fault',
    spellcheck: 'false',
  });
  const submitted = async (event) => {
    event.preventDefault();
    const fault = await tryKey(field.value);
    document.getElementById('key-fault').textContent = fault;
    if (fault) field.focus();
    else {
      setKeyFault('');
      focusBox();
    }
  };
  return el(
    'form',
    { id: 'sign-in', onsubmit: submitted },
    el('h2', {}, t(hasChanged ? 'key.changedTitle' : 'key.title')),
    el('p', { class: 'quiet' }, t(hasChanged ? 'key.changedHint' : 'key.hint')),
    el('label', { for: 'key' }, t('key.field')),
    el('div', { class: 'row' }, field, el('button', { type: 'submit', class: 'main-button' }, t('action.save'))),
    el('p', { id: 'key-fault', role: 'alert', class: 'bad' }, state.keyFault),
  );
}
