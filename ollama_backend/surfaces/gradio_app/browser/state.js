// What the page knows now. Only the functions here change it; each names the topics that have changed, and whoever
// listens is told of them together, as soon as the code that runs has finished.

/**
 * @typedef {import('./tree.js').Conversation} Conversation
 * @typedef {import('./tree.js').Message} Message
 * @typedef {import('./live.js').Live} Live
 * @typedef {'site' | 'connection' | 'settings' | 'list' | 'conversation' | 'live' | 'html' | 'notice' | 'ui'} Topic
 * @typedef {{name: string, size: number, parameter_size: string, thinks: boolean, sees: boolean, levels?: string[],
 *   context?: number, note?: string}} Model
 */

export const state = {
  /** What the server has told: `access` is empty until it has, then `open`, `key` or `denied`. */
  /** @type {Record<string, any> & {models: Model[]}} */
  site: { access: '', status: 'connecting', reason: '', notice: '', model: '', engine: '', models: [] },
  reached: true,
  key: '',
  /** A key from a link, until it was tried. */
  offeredKey: '',
  keyFault: '',
  /** What was chosen for this browser, and for new conversations. */
  settings: /** @type {Record<string, any>} */ ({}),
  /** Conversations by their id, and the messages of those that were opened. */
  conversations: /** @type {Map<string, Conversation>} */ (new Map()),
  messages: /** @type {Map<string, Map<string, Message>>} */ (new Map()),
  /** Grows with every change of a message. */
  written: 0,
  current: '',
  /** The answers that are being written, by the id of their message. */
  live: /** @type {Map<string, Live>} */ (new Map()),
  /** HTML of messages: blocks of thinking and of content. */
  html: /** @type {Map<string, {thinking: string[], content: string[]}>} */ (new Map()),
  notice: /** @type {{text: string, action?: string, act?: () => void} | null} */ (null),
  storage: { kind: 'memory', full: false, usage: 0, quota: 0, persisted: false },
  ui: {
    sideOpen: false,
    search: '',
    /** Conversations in whose text the search was found, with the place: null until they were looked through. */
    hits: /** @type {Map<string, {message: string, excerpt: string}> | null} */ (null),
    renaming: '',
    selecting: false,
    selected: new Set(),
    /** Edits by the conversation that they belong to. */
    edits: /** @type {Map<string, {message: string, text: string}>} */ (new Map()),
    attached: new Map(),
    following: true,
    /** The message that is read aloud. */
    reading: '',
    stopping: new Set(),
  },
};

const [listeners, topics] = [new Set(), new Set()];

/** Call a function with the set of topics after they have changed. @param {(topics: Set<Topic>) => void} listener */
export function subscribe(listener) {
  listeners.add(listener);
}

/** @param {...Topic} names */
function changed(...names) {
  if (!topics.size) queueMicrotask(notify);
  for (const name of names) topics.add(name);
}

function notify() {
  const now = new Set(topics);
  topics.clear();
  for (const listener of listeners) listener(now);
}

// The server

export function setSite(site) {
  const next = { ...state.site, ...site };
  if (site.access === 'denied') Object.assign(next, { models: [], model: '' });
  if (JSON.stringify(next) === JSON.stringify(state.site)) return;
  state.site = next;
  changed('site');
}

export function setReached(reached) {
  if (state.reached !== reached) changed('connection');
  state.reached = reached;
}

export function setKey(key) {
  state.key = key;
  changed('site');
}

export const offerKey = (key) => {
  state.offeredKey = key;
};

export function setKeyFault(text) {
  state.keyFault = text;
  changed('site');
}

// Settings, notices, storage

export function setSettings(settings) {
  state.settings = settings;
  changed('settings');
}

/** Show a sentence until it is dismissed. `action` is the text of a button that calls `act`. */
export function notice(text, action = '', act = undefined) {
  state.notice = text ? { text, action, act } : null;
  changed('notice');
}

export function setStorage(storage) {
  state.storage = { ...state.storage, ...storage };
  changed('list');
}

// Conversations

/** @param {Conversation[]} conversations */
export function setConversations(conversations) {
  state.conversations = new Map(conversations.map((each) => [each.id, each]));
  changed('list', 'conversation');
}

/** Change a conversation, or add it. @param {string} id @param {Partial<Conversation>} change */
export function patchConversation(id, change) {
  state.conversations.set(id, { ...state.conversations.get(id), ...change, id });
  changed('list', ...(id === state.current ? ['conversation'] : []));
}

export function dropConversation(id) {
  state.written++;
  for (const message of state.messages.get(id)?.values() ?? []) {
    state.live.delete(message.id);
    state.html.delete(message.id);
  }
  state.conversations.delete(id);
  state.messages.delete(id);
  state.ui.edits.delete(id);
  state.ui.attached.delete(id);
  changed('list', 'conversation', 'live');
}

export function setCurrent(id) {
  state.current = id;
  changed('conversation', 'list', 'live', 'ui');
}

/** @param {string} conversation @param {Message[]} messages */
export function setMessages(conversation, messages) {
  state.written++;
  state.messages.set(conversation, new Map(messages.map((each) => [each.id, each])));
  if (conversation === state.current) changed('conversation');
}

/** Keep the messages of these conversations only. @param {Set<string>} conversations */
export function releaseMessages(conversations) {
  for (const [id, messages] of [...state.messages].filter(([id]) => !conversations.has(id))) {
    state.messages.delete(id);
    for (const message of messages.keys()) state.html.delete(message);
  }
}

/** @param {Message} message */
export function putMessage(message) {
  state.written++;
  const messages = state.messages.get(message.conversation);
  if (messages) messages.set(message.id, message);
  else state.messages.set(message.conversation, new Map([[message.id, message]]));
  if (message.conversation === state.current) changed('conversation');
}

/** @param {string} conversation @param {string[]} ids */
export function dropMessages(conversation, ids) {
  state.written++;
  for (const id of ids) state.messages.get(conversation)?.delete(id);
  if (conversation === state.current) changed('conversation');
}

/** @param {string} id @param {{thinking: string[], content: string[]}} html */
export function putHtml(id, html) {
  state.html.set(id, html);
  changed('html');
}

// Answers that are being written

/** @param {Live} live */
export function putLive(live) {
  if (!state.live.has(live.id)) changed('list', 'conversation');
  state.live.set(live.id, live);
  changed('live');
}

export function dropLive(id) {
  state.ui.stopping.delete(id);
  if (state.live.delete(id)) changed('live', 'list', 'conversation');
}

export function markStopping(id) {
  state.ui.stopping.add(id);
  changed('live');
}

// What is shown

/** @param {Partial<typeof state.ui>} change */
export function setUi(change) {
  Object.assign(state.ui, change);
  changed('ui', 'list');
}

export function setFollowing(following) {
  if (state.ui.following !== following) changed('live');
  state.ui.following = following;
}

/** @param {string} id of the message that is read aloud, or nothing */
export function setReading(id) {
  state.ui.reading = id;
  changed('conversation');
}

/** Edit a message of a conversation; null ends it. @param {string} conversation */
export function setEdit(conversation, edit) {
  if (edit) state.ui.edits.set(conversation, edit);
  else state.ui.edits.delete(conversation);
  changed('conversation');
}

/** What is typed into an edit; it shows itself. @param {string} conversation @param {string} text */
export function noteEdit(conversation, text) {
  const edit = state.ui.edits.get(conversation);
  if (edit) edit.text = text;
}

/** @param {string} conversation @param {{images: string[], files: object[], kept: object[]}} attached */
export function setAttached(conversation, attached) {
  state.ui.attached.set(conversation, attached);
  changed('ui');
}

/** @param {string} id */
export function toggleSelected(id) {
  if (!state.ui.selected.delete(id)) state.ui.selected.add(id);
  changed('list');
}
