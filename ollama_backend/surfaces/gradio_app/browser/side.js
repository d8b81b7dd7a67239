// The list of conversations: searched, renamed, deleted, taken out and brought in.
let searched = '', renaming = null, warnedFull = false;
const titleOf = id => index().find(x => x.id === id)?.title ?? '';
const matches = x => !searched || x.title.toLowerCase().includes(searched) || conv(x.id).messages.some(m => m.text?.toLowerCase().includes(searched));
const isNarrow = () => matchMedia('(max-width: 800px)').matches;
matchMedia('(max-width: 800px)').addEventListener('change', () => openSide(!isNarrow() && tab.getItem('chat.side') !== 'closed'));
addEventListener('pointerdown', event => { if (isNarrow() && sideIsOpen() && !event.target.closest('#side, #menu, dialog')) openSide(false) });
const sideIsOpen = () => document.body.classList.contains('side-open');
function openSide(open) {
  document.body.classList.toggle('side-open', open);
  if (!isNarrow()) tab.setItem('chat.side', open ? 'open' : 'closed');
  drawAll();
  if (open && isNarrow()) document.getElementById('search')?.focus();
}

drawers.side = host => {
  const open = sideIsOpen();
  document.getElementById('side').inert = !open;
  if (!host.firstChild) host.append(sideFrame());
  const list = host.querySelector('#chats'), share = used() / CAPACITY;
  redraw(list, [index(), cur, searched, renaming], () => index().filter(matches).map(listEntry));
  if (!list.firstChild) list.append(el('li', {class: 'quiet'}, searched ? 'Nothing found.' : 'No conversations yet.'));
  redraw(host.querySelector('#storage'), [share > 0.8 && Math.round(share * 100), unsaved.size > 0], () => [
    unsaved.size ? el('p', {role: 'alert'}, 'This browser’s storage is full. What is new is kept only until this tab is closed: export or delete conversations.')
      : share > 0.8 && el('p', {role: 'status'}, `Storage is ${Math.round(share * 100)} % full. Export or delete conversations before it is full.`),
  ]);
};
function sideFrame() {
  return el('nav', {'aria-label': 'Conversations'},
    el('div', {class: 'row'}, button('New chat', () => { doAct('fresh'); leaveSide() }, {id: 'fresh', class: 'main-button'}, 'plus'), iconButton('close', 'Close the list', () => openSide(false), {id: 'close-side'})),
    el('input', {id: 'search', type: 'search', placeholder: 'Search', 'aria-label': 'Search conversations', oninput: event => { searched = event.target.value.trim().toLowerCase(); drawAll() }}),
    el('ul', {id: 'chats'}),
    el('div', {id: 'storage'}),
    el('div', {class: 'row flows'}, button('Export', exportAsked, {id: 'export'}), button('Import', () => importAsked(), {id: 'import'})));
}
const leaveSide = () => { if (isNarrow()) openSide(false); focusBox() };
function listEntry(x) {
  if (renaming === x.id) {
    const done = event => { if (renaming) { renaming = null; rename(x.id, event.target.value) } };
    const keyed = event => { if (event.key === 'Enter') done(event); if (event.key === 'Escape') { event.stopPropagation(); renaming = null; drawAll() } };
    const field = el('input', {'aria-label': 'Title', value: x.title, maxlength: 60, onblur: done, onkeydown: keyed});
    setTimeout(() => field.select());
    return el('li', {}, field);
  }
  return el('li', {},
    el('button', {type: 'button', class: 'plain title', dir: 'auto', 'aria-current': x.id === cur ? 'true' : null, onclick: () => { doAct('open', x.id); leaveSide() }}, x.title),
    iconButton('pen', `Rename ${x.title}`, () => { renaming = x.id; drawAll() }),
    iconButton('bin', `Delete ${x.title}`, () => question(`Delete “${x.title}”? It cannot be brought back.`, 'Delete', () => doAct('remove', x.id))));
}
function rename(id, text) {
  const named = visible(text).trim().slice(0, 60);
  if (named) put('chat.index', index().map(x => x.id === id ? {...x, title: named, named: true} : x));
  drawAll();
}
