// Dialogs of the browser's own: they keep the focus, Esc closes them, and the focus goes back. Needs a browser.

import { t } from '../words.js';
import { button, el, iconButton } from './dom.js';

/**
 * Open a dialog with a title and a button that closes it.
 *
 * @param {string} id
 * @param {string} title
 * @param {(close: () => void) => any[]} make its content
 * @returns {{dialog: HTMLDialogElement, fill: () => void}} `fill` draws the content anew
 */
export function openDialog(id, title, make) {
  const before = document.activeElement;
  const content = el('div', { class: 'stack' });
  const close = () => dialog.close();
  const head = el(
    'div',
    { class: 'row between' },
    el('h2', { id: `${id}-title` }, title),
    iconButton('close', t('action.close'), close),
  );
  const dialog = el(
    'dialog',
    { id, 'aria-labelledby': `${id}-title` },
    el('div', { class: 'dialog-box' }, head, content),
  );
  dialog.addEventListener('close', () => {
    dialog.remove();
    before?.focus?.({ preventScroll: true });
  });
  dialog.addEventListener('click', (event) => event.target === dialog && close());
  const fill = () => content.replaceChildren(...make(close).flat(3).filter(Boolean));
  fill();
  document.body.append(dialog);
  dialog.showModal();
  return { dialog, fill };
}

/** Ask a question; Esc means no. @param {string} text @param {string} yes @param {() => void} then */
export function question(text, yes, then) {
  const close = () => dialog.close();
  const agree = () => {
    close();
    then();
  };
  const dialog = el(
    'dialog',
    { class: 'ask', role: 'alertdialog', 'aria-labelledby': 'ask-text', onclose: () => dialog.remove() },
    el(
      'div',
      { class: 'dialog-box' },
      el('p', { id: 'ask-text' }, text),
      el('div', { class: 'row' }, button(yes, agree, { class: 'main-button' }), button(t('action.cancel'), close)),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
