// One conversation in the list: its title, marks, and what can be done with it. Needs a browser.

import { isUnread, pin, removeConversations, rename } from '../chat/conversations.js';
import { setUi, state, toggleSelected } from '../state.js';
import { t } from '../words.js';
import { el, icon, iconButton } from './dom.js';
import { isComposing } from './focus.js';
import { toggleMenu } from './menu.js';

/** @param {import('../tree.js').Conversation} conversation @param {(id: string, message?: string) => void} show */
export function entryParts(conversation, isBusy, hit, show) {
  const { id, title, pinned } = conversation;
  const { selecting, selected } = state.ui;
  const isShown = id === state.current;
  const marks = [
    pinned &&
      el(
        'span',
        { class: 'mark', title: t('list.pinned') },
        icon('pin'),
        el('span', { class: 'sr' }, t('list.pinned')),
      ),
    isBusy &&
      el('span', { class: 'mark busy', title: t('list.busy') }, el('i'), el('span', { class: 'sr' }, t('list.busy'))),
    !isBusy &&
      isUnread(conversation) &&
      el('span', { class: 'mark unread', title: t('list.unread') }, el('span', { class: 'sr' }, t('list.unread'))),
  ];
  const name = [el('bdi', { class: 'name' }, title), hit && el('small', { dir: 'auto' }, hit.excerpt)];
  if (selecting) {
    const box = el('input', { type: 'checkbox', id: `choose-${id}`, onchange: () => toggleSelected(id) });
    box.checked = selected.has(id);
    return [el('label', { class: 'plain title', for: `choose-${id}` }, box, el('span', { class: 'names' }, name))];
  }
  const open = () => {
    show(id, hit?.message);
  };
  return [
    el(
      'button',
      {
        type: 'button',
        class: 'plain title',
        id: `chat-${id}`,
        'aria-current': isShown ? 'page' : null,
        onclick: open,
      },
      el('span', { class: 'names' }, name),
      marks,
    ),
    iconButton('more', t('list.more', { title }), (event) => toggleMenu(event.currentTarget, actionsOf(conversation)), {
      id: `more-${id}`,
      class: 'plain icon more',
      'aria-haspopup': 'menu',
      'aria-expanded': 'false',
    }),
  ];
}

function actionsOf({ id, pinned }) {
  return [
    { text: t('action.rename'), sign: 'pen', act: () => setUi({ renaming: id }), id: 'act-rename' },
    { text: t(pinned ? 'action.unpin' : 'action.pin'), sign: 'pin', act: () => pin(id, !pinned), id: 'act-pin' },
    { text: t('action.delete'), sign: 'bin', act: () => removeAndFocus(id), id: 'act-delete' },
  ];
}

async function removeAndFocus(id) {
  const entries = [...document.querySelectorAll('#chats li button.title')];
  const at = entries.findIndex((entry) => entry.id === `chat-${id}`);
  const next = entries[at + 1] ?? entries[at - 1];
  await removeConversations([id]);
  (document.getElementById(next?.id) ?? document.getElementById('fresh'))?.focus();
}

export function renameField({ id, title }) {
  const end = (keep) => {
    if (state.ui.renaming !== id) return;
    if (keep) rename(id, field.value);
    else setUi({ renaming: '' });
    setTimeout(() => document.getElementById(`chat-${id}`)?.focus());
  };
  const keyPressed = (event) => {
    if (isComposing(event)) return;
    if (event.key === 'Enter') end(true);
    if (event.key === 'Escape') {
      event.stopPropagation();
      end(false);
    }
  };
  const field = el('input', {
    'aria-label': t('list.renameField'),
    value: title,
    maxlength: 100,
    dir: 'auto',
    onblur: () => end(true),
    onkeydown: keyPressed,
  });
  setTimeout(() => {
    field.focus();
    field.select();
  });
  return field;
}
