// Editing a question where it stands. Needs a browser.

import { cancelEdit, sendEdit } from '../chat/acts.js';
import { noteEdit, state } from '../state.js';
import { t } from '../words.js';
import { button, el, isTouch } from './dom.js';
import { focusBox, isComposing } from './focus.js';

/** @param {import('../tree.js').Message} message */
export function editForm(message) {
  const field = el('textarea', {
    class: 'grows',
    'aria-label': t('message.editField'),
    dir: 'auto',
    rows: 1,
    id: 'edit',
    value: state.ui.edits.get(message.conversation).text,
    oninput: () => noteEdit(message.conversation, field.value),
    onkeydown: keyed,
  });
  const send = button(t('box.send'), submit, { class: 'main-button', disabled: !field.value.trim(), id: 'send-edit' });
  field.addEventListener('input', () => {
    send.disabled = !field.value.trim();
  });

  function submit() {
    if (sendEdit(field.value)) focusBox();
  }
  function cancel() {
    cancelEdit();
    focusBox();
  }
  function keyed(event) {
    if (isComposing(event)) return;
    if (event.key === 'Escape') {
      event.stopPropagation();
      cancel();
    } else if (event.key === 'Enter' && !event.shiftKey && !isTouch()) {
      event.preventDefault();
      submit();
    }
  }
  setTimeout(() => {
    if (!document.activeElement?.closest('dialog')) field.focus();
  });
  return el('div', { class: 'edit' }, field, el('div', { class: 'row' }, send, button(t('action.cancel'), cancel)));
}
