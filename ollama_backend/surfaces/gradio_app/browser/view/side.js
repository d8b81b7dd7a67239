// The list of conversations beside the one that is shown. Needs a browser.

import { freshConversation, isUnread, listed, removeConversations } from '../chat/conversations.js';
import { byDay } from '../languages/days.js';
import { setUi, state } from '../state.js';
import { tabArea } from '../storage/records.js';
import { locale, t } from '../words.js';
import { button, el, iconButton, isNarrow, keyed, redraw } from './dom.js';
import { focusBox } from './focus.js';
import { search } from './search.js';
import { entryParts, renameField } from './side_entry.js';

const FIRST = 150; // drawn at once; the rest when it is scrolled to
const WARN = 0.8;
let most = FIRST;
let acts = {};

/** @param {{exportAll: () => void, importFile: () => void, show: (id: string, message?: string) => void}} functions */
export function sidePlace(functions) {
  acts = functions;
  const list = el('div', { id: 'chats' });
  list.addEventListener('scroll', () => {
    if (list.scrollTop + list.clientHeight > list.scrollHeight - 400) {
      most += FIRST;
      drawSide();
    }
  });
  return el(
    'nav',
    { id: 'side' },
    el('div', { id: 'side-top' }),
    el('div', { id: 'side-select' }),
    el('div', { id: 'side-empty' }),
    list,
    el('div', { id: 'storage' }),
    el('div', { id: 'side-foot' }),
  );
}

export function openSide(open) {
  setUi({ sideOpen: open });
  if (!isNarrow()) tabArea().setItem('chat.side', open ? 'open' : 'closed');
  // After the list was drawn.
  if (open && isNarrow()) queueMicrotask(() => document.getElementById('close-side')?.focus());
}

/** On a phone the list covers the conversation: it goes when one was chosen. */
function leaveSide() {
  if (isNarrow()) openSide(false);
  focusBox();
}

export function drawSide() {
  const side = document.getElementById('side');
  if (!side) return;
  const { sideOpen, search: searched, hits, selecting, selected } = state.ui;
  document.body.classList.toggle('side-open', sideOpen);
  side.inert = !sideOpen;
  side.setAttribute('aria-label', t('list.title'));
  redraw(document.getElementById('side-top'), [], sideTop);
  redraw(document.getElementById('side-select'), [selecting, [...selected]], () => (selecting ? [selectionBar()] : []));
  redraw(document.getElementById('side-foot'), [selecting], () => [el('div', { class: 'row flows' }, sideFoot())]);
  drawStorage();
  drawList(searched, hits);
}

function sideTop() {
  const field = el('input', {
    id: 'search',
    type: 'search',
    placeholder: t('list.search'),
    'aria-label': t('list.searchLabel'),
    value: state.ui.search,
    oninput: () => search(field.value),
  });
  return [
    el(
      'div',
      { class: 'row' },
      button(t('list.new'), () => freshConversation().then(leaveSide), { id: 'fresh', class: 'main-button' }, 'plus'),
      iconButton('close', t('list.close'), () => openSide(false), { id: 'close-side' }),
    ),
    field,
  ];
}

const sideFoot = () => [
  button(t('export.title'), () => acts.exportAll(), { id: 'export' }),
  button(t('import.title'), () => acts.importFile(), { id: 'import', title: t('import.hint') }),
  !state.ui.selecting &&
    button(t('list.select'), () => setUi({ selecting: true, selected: new Set() }), { id: 'select' }),
];

function selectionBar() {
  const { selected } = state.ui;
  return el(
    'div',
    { class: 'row flows' },
    el('span', { class: 'quiet' }, t('list.selected', { count: selected.size })),
    button(
      t('action.delete'),
      () => removeConversations([...selected]),
      { id: 'delete-selected', disabled: !selected.size },
      'bin',
    ),
    button(t('action.cancel'), () => setUi({ selecting: false, selected: new Set() }), { id: 'select-none' }),
  );
}

function drawStorage() {
  const { full, usage, quota, kind } = state.storage;
  const share = quota ? usage / quota : 0;
  redraw(document.getElementById('storage'), [full, kind, share > WARN && Math.round(share * 100)], () => [
    full
      ? el('p', { role: 'alert' }, t('storage.full'))
      : kind === 'memory'
        ? el('p', { class: 'quiet' }, t('storage.denied'))
        : share > WARN && el('p', { role: 'status' }, t('storage.nearlyFull', { percent: share })),
  ]);
}

function drawList(searched, hits) {
  const host = document.getElementById('chats');
  const found = listed().filter(
    (each) => !searched || each.title.toLowerCase().includes(searched) || hits?.has(each.id),
  );
  const groups = groupsOf(found.slice(0, most));
  const byId = new Map(groups.map((group) => [group.id, group]));
  keyed(
    host,
    groups.map((group) => group.id),
    (id) =>
      el(
        'section',
        {},
        el('h2', { class: 'group', id: `group-${id}` }),
        el('ul', { 'aria-labelledby': `group-${id}` }),
      ),
    (section, id) => {
      const { key, label, things } = byId.get(id);
      section.firstElementChild.textContent = key ? t(key) : label;
      drawEntries(section.lastElementChild, things, hits);
    },
  );
  redraw(document.getElementById('side-empty'), [groups.length > 0, searched !== ''], () => [
    groups.length ? null : el('p', { class: 'quiet' }, t(searched ? 'list.nothingFound' : 'list.none')),
  ]);
}

/** Pinned ones first, the rest by day. @param {import('../tree.js').Conversation[]} conversations */
function groupsOf(conversations) {
  const pinned = conversations.filter((each) => each.pinned);
  const others = conversations.filter((each) => !each.pinned);
  const days = byDay(others, (each) => each.at, Date.now(), locale());
  return pinned.length ? [{ id: 'pinned', key: 'list.pinned', label: '', things: pinned }, ...days] : days;
}

const showAndLeave = (id, message) => {
  acts.show(id, message);
  leaveSide();
};

function drawEntries(host, conversations, hits) {
  const byId = new Map(conversations.map((each) => [each.id, each]));
  const busy = new Set([...state.live.values()].map((live) => live.conversation));
  const { renaming, selecting, selected } = state.ui;
  keyed(
    host,
    [...byId.keys()],
    () => el('li'),
    (item, id) => {
      const conversation = byId.get(id);
      const shows = [
        conversation.title,
        conversation.pinned,
        id === state.current,
        busy.has(id),
        isUnread(conversation),
      ];
      redraw(item, [...shows, renaming === id, selecting, selected.has(id), hits?.get(id)], () =>
        renaming === id
          ? [renameField(conversation)]
          : entryParts(conversation, busy.has(id), hits?.get(id), showAndLeave),
      );
    },
  );
}
