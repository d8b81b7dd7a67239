// The box where messages are written. Needs a browser.

import { runningHere, send, stop } from '../chat/acts.js';
import { attachedTo, isNothing } from '../chat/attachments.js';
import { draftOf, keepDraft } from '../chat/drafts.js';
import { modelOf } from '../chat/choices.js';
import { state } from '../state.js';
import { t } from '../words.js';
import { el, iconButton, isTouch, redraw } from './dom.js';
import { focusBox, isComposing } from './focus.js';
import { drawAttached } from './attached.js';

const LONG = 20_000; // characters that are not measured any more

/** What the box shows: the conversation whose draft it is. */
const shown = { conversation: '', draft: '' };

/** Whether what the box holds was sent before the server had answered. It goes out as soon as the server does. */
let isWaiting = false;

/** @param {{attach: (files: Iterable<File>) => void, pasted: (text: string) => boolean}} functions */
export function composer({ attach, pasted }) {
  const field = el('textarea', { id: 'box-text', rows: 1, dir: 'auto', enterkeyhint: isTouch() ? 'enter' : 'send' });
  field.addEventListener('input', () => {
    isWaiting = false;
    keep(field.value);
    grow(field);
    drawSend();
  });
  field.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || isComposing(event) || event.shiftKey || isTouch()) return;
    event.preventDefault();
    submit();
  });
  field.addEventListener('paste', (event) => {
    if (event.clipboardData?.files.length) return;
    if (pasted(event.clipboardData?.getData('text/plain') ?? '')) event.preventDefault();
  });
  const picker = el('input', { type: 'file', multiple: true, hidden: true, id: 'file-picker' });
  picker.addEventListener('change', () => {
    attach([...picker.files]);
    picker.value = '';
  });
  const form = el(
    'form',
    { id: 'box' },
    el('div', { id: 'attached' }),
    el('div', { class: 'row box-row' }, el('span', { id: 'attach-place' }), field, el('span', { id: 'send-place' })),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  return el('div', { id: 'composer' }, picker, form);
}

export function submit() {
  const field = document.getElementById('box-text');
  isWaiting = state.site.access === '' && !!field.value.trim();
  if (!send(field.value)) return;
  put('');
  field.focus({ preventScroll: true });
}

/** Send what was sent before the server had answered. */
export function submitWaiting() {
  if (isWaiting && state.site.access !== '') submit();
}

function keep(text) {
  shown.draft = text;
  keepDraft(text);
}

function put(text) {
  const field = document.getElementById('box-text');
  field.value = text;
  shown.draft = text;
  isWaiting = false;
  grow(field);
  drawSend();
}

/** As high as its text. A long one is not measured: that takes seconds. */
function grow(field) {
  const isLong = field.value.length > LONG;
  field.classList.toggle('long', isLong);
  if (CSS.supports('field-sizing', 'content')) return;
  field.style.height = 'auto';
  if (!isLong) field.style.height = `${field.scrollHeight}px`;
}

/** Draw the box for the conversation that is shown. */
export function drawComposer() {
  const field = document.getElementById('box-text');
  if (!field) return;
  field.placeholder = t('box.placeholder');
  field.setAttribute('aria-label', t('box.label'));
  const draft = draftOf();
  // What is typed is kept at once: a draft that differs was put there by an act.
  if (shown.conversation !== state.current || draft !== shown.draft) {
    shown.conversation = state.current;
    put(draft);
  }
  drawAttach();
  drawAttached();
  drawSend();
}

function drawAttach() {
  redraw(document.getElementById('attach-place'), [!!modelOf()?.sees], () => [
    iconButton('attach', t('box.attach'), () => document.getElementById('file-picker').click(), { id: 'attach' }),
  ]);
}

function stopHere() {
  stop();
  focusBox();
}

export function drawSend() {
  if (!document.getElementById('send-place')) return;
  const isBusy = !!runningHere();
  const isEmpty = !document.getElementById('box-text').value.trim() && isNothing(attachedTo());
  redraw(document.getElementById('send-place'), [isBusy, isEmpty], () => [
    isBusy
      ? iconButton('stop', t('box.stop'), stopHere, { id: 'stop', class: 'main-button icon' })
      : iconButton('up', t('box.send'), submit, { id: 'send', class: 'main-button icon', disabled: isEmpty }),
  ]);
}
