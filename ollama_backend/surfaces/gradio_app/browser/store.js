// Where conversations are kept: in this browser alone, written by this script alone.
//   chat.index   [{id, title, at, named}], the newest first
//   chat.c.ID    {messages, turn: {id, seen, ask} | null}; a message is
//                {role, text, images?, thinking?, thought?, model?, stats?, end?, error?}
//   chat.p.TURN  the part of an unfinished answer that was seen: {thinking, content, thought}
//   of a tab: chat.current, chat.draft, chat.scroll

// Where the browser denies storage (a frame on another site): the frame's own history entry outlives its reload,
// and no other site can read it, as it could `window.name`.
const shelf = (() => {
  const kept = new Map(Object.entries(history.state?.chat ?? {}));
  let timer = null;
  const write = () => {
    clearTimeout(timer);
    timer = null;
    try { history.replaceState({...history.state, chat: Object.fromEntries(kept)}, '') } catch { /* too much for it: memory only */ }
  };
  addEventListener('pagehide', () => timer && write());
  const later = () => { timer ??= setTimeout(write, 500) };
  return {
    getItem: name => kept.get(name) ?? null,
    setItem: (name, value) => { kept.set(name, String(value)); later() },
    removeItem: name => { kept.delete(name); later() },
    keys: () => [...kept.keys()],
  };
})();

function area(name) {
  try {
    const storage = window[name];
    try {
      storage.setItem('chat.probe', '1');
      storage.removeItem('chat.probe');
    } catch (error) {
      if (!isFull(error)) throw error;
    }
    return storage;
  } catch {
    return shelf;
  }
}
const isFull = error => error?.name === 'QuotaExceededError' || error?.name === 'NS_ERROR_DOM_QUOTA_REACHED';

const disk = area('localStorage'), tab = area('sessionStorage');
const unsaved = new Map(); // what did not fit: kept for as long as this tab lives
const CAPACITY = 5 * 2 ** 20; // UTF-16 units that browsers give one origin
const storageKeys = () => disk.keys?.call(disk) ?? Object.keys(disk);

function get(name, otherwise) {
  try { return JSON.parse(unsaved.get(name) ?? disk.getItem(name)) ?? otherwise } catch { return otherwise }
}
function put(name, value) {
  const text = JSON.stringify(value);
  try {
    disk.setItem(name, text);
    unsaved.delete(name);
  } catch (error) {
    if (!isFull(error)) console.warn(error.name);
    unsaved.set(name, text); // nothing is dropped to make room: people decide that
  }
}
function drop(name) {
  unsaved.delete(name);
  disk.removeItem(name);
}
const used = () => storageKeys().reduce((sum, name) => sum + name.length + (disk.getItem(name)?.length ?? 0), 0);

const newId = () => [...crypto.getRandomValues(new Uint8Array(16))].map(b => b.toString(16).padStart(2, '0')).join('');
const index = () => get('chat.index', []);
const conv = (id = cur) => get('chat.c.' + id, {messages: [], turn: null});
const title = text => visible(text).replace(/\s+/g, ' ').trim().slice(0, 60) || 'New chat';

function save(c, id = cur) {
  put('chat.c.' + id, c);
  if (id === cur) turn = c.turn;
  const first = c.messages.find(m => m.role === 'user');
  if (!first) return;
  const old = index().find(x => x.id === id);
  const entry = {id, title: old?.named ? old.title : title(first.text), at: Date.now(), named: !!old?.named};
  put('chat.index', [entry, ...index().filter(x => x.id !== id)]);
}
function forget(id) {
  const unfinished = conv(id).turn;
  if (unfinished) drop('chat.p.' + unfinished.id);
  drop('chat.c.' + id);
  put('chat.index', index().filter(x => x.id !== id));
}
