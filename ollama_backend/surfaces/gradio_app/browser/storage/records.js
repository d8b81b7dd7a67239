// The conversations, messages and pictures that this browser keeps. What cannot be written is kept while the tab lives.

import { setStorage } from '../state.js';
import { namesOf, openAreas, setItem } from './areas.js';
import { openDatabase } from './database.js';
import { WebStorage } from './web_storage.js';

/** @typedef {import('../tree.js').Conversation} Conversation @typedef {import('../tree.js').Message} Message */

const UNSAVED_RETRY = 15_000;

/** @type {import('./database.js').Database | WebStorage} */
let backend;
/** @type {ReturnType<typeof openAreas>} */
let areas;
/** Changes that did not fit, by store and key. @type {Map<string, import('./database.js').Change>} */
const unsaved = new Map();
const timers = { retry: 0 };

export async function openRecords(window) {
  areas = openAreas(window);
  try {
    backend = await openDatabase(window.indexedDB);
  } catch {
    backend = new WebStorage(areas.local, () => namesOf(areas.local), areas.shelf ? 'memory' : 'localStorage');
  }
  setStorage({ kind: backend.kind });
}

export const localArea = () => areas.local;
export const tabArea = () => areas.tab;

export function localJson(name, otherwise) {
  try {
    return JSON.parse(areas.local.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}
export const setLocalJson = (name, value) => setItem(areas.local, name, JSON.stringify(value));

const messageKey = (message) => `${message.conversation}/${message.id}`;

/** Ask the browser to keep what is stored here even when its disk is full, and learn how much there is. */
export async function askToPersist(window) {
  const { storage } = window.navigator;
  if (backend.kind !== 'database' || !storage?.estimate) return;
  const persisted = (await storage.persisted?.()) || (await storage.persist?.()) || false;
  setStorage({ persisted });
  await measure(window);
}

export async function measure(window) {
  if (backend.kind !== 'database' || !window.navigator.storage?.estimate) return;
  const { usage = 0, quota = 0 } = await window.navigator.storage.estimate();
  setStorage({ usage, quota });
}

/** Write changes, or keep them for this tab. @param {import('./database.js').Change[]} changes */
async function write(changes) {
  try {
    await backend.write(changes);
    for (const { store, key } of changes) unsaved.delete(`${store}/${key}`);
    if (!unsaved.size) setStorage({ full: false });
  } catch (error) {
    keepUnsaved(changes, error);
  }
}

function keepUnsaved(changes, error) {
  console.warn(`Not stored: ${error?.name ?? error}`);
  for (const change of changes) unsaved.set(`${change.store}/${change.key}`, change);
  if (!timers.retry) timers.retry = setTimeout(retry, UNSAVED_RETRY);
  setStorage({ full: true });
}

async function retry() {
  timers.retry = 0;
  if (unsaved.size) await write([...unsaved.values()]);
}

/** @returns {Promise<Conversation[]>} */
export const loadConversations = () => backend.list('conversations');

/** @returns {Promise<Conversation | undefined>} */
export async function loadConversation(id) {
  return (await backend.read('conversations', [id]))[0];
}

/**
 * Change a conversation as it is stored, where another tab may have changed something else of it.
 *
 * @param {string} id
 * @param {(stored: Partial<Conversation>) => Partial<Conversation>} change
 * @returns {Promise<Conversation>} what is stored now
 */
export async function storeConversation(id, change) {
  let next;
  const merge = (stored = {}) => {
    next = { ...stored, ...change(stored), id };
    return next;
  };
  try {
    await backend.update('conversations', id, merge);
  } catch (error) {
    const known = unsaved.get(`conversations/${id}`)?.value ?? (await loadConversation(id).catch(() => undefined));
    keepUnsaved([{ store: 'conversations', key: id, value: merge(known) }], error);
  }
  return next;
}

/** @returns {Promise<Message[]>} */
export async function loadMessages(conversation) {
  const prefix = `${conversation}/`;
  const found = new Map((await backend.list('messages', prefix)).map((message) => [message.id, message]));
  for (const { store, key, value } of unsaved.values())
    if (store === 'messages' && value && key.startsWith(prefix)) found.set(value.id, value);
  return [...found.values()];
}

/** Some messages of a conversation, undefined for those that are gone. @param {string[]} ids */
export const readMessages = (conversation, ids) =>
  backend.read(
    'messages',
    ids.map((id) => `${conversation}/${id}`),
  );

/** @param {(message: Message) => boolean | void} visit called for every message, until it returns false */
export const eachMessage = (visit) => backend.each('messages', visit);

/** @param {Message[]} messages @param {import('./database.js').Change[]} more */
export const storeMessages = (messages, more = []) =>
  write([...messages.map((value) => ({ store: 'messages', key: messageKey(value), value })), ...more]);

/** @param {Message[]} messages */
export const deleteMessages = (messages) =>
  write(
    messages.flatMap((message) => [
      { store: 'messages', key: messageKey(message) },
      { store: 'html', key: messageKey(message) },
      { store: 'parts', key: message.id },
    ]),
  );

export async function deleteConversation(id) {
  const messages = await loadMessages(id);
  const pictures = messages.flatMap((message) => message.images ?? []);
  await deleteMessages(messages);
  await write([{ store: 'conversations', key: id }, ...pictures.map((key) => ({ store: 'pictures', key }))]);
}

// HTML of messages, parts of unfinished answers, pictures

export const loadHtml = (messages) => backend.read('html', messages.map(messageKey));
export const storeHtml = (message, html) => write([htmlChange(message, html)]);

/** The change that keeps the HTML of a message, to be written with it. */
export const htmlChange = (message, value) => ({ store: 'html', key: messageKey(message), value });

/**
 * What was seen of an unfinished answer. There is one for every answer that is being written.
 *
 * @typedef {{id: string, conversation: string, thinking?: string, content?: string, thought?: number}} Part
 * @param {string} id
 * @param {Part} [value] none once it has ended
 */
export const partChange = (id, value = undefined) => ({ store: 'parts', key: id, value });

/** @returns {Promise<Part[]>} */
export const loadParts = () => backend.list('parts');
export const storePart = (part) => write([partChange(part.id, part)]);
export const deletePart = (id) => write([partChange(id)]);

export const loadPicture = async (id) =>
  unsaved.get(`pictures/${id}`)?.value ?? (await backend.read('pictures', [id]))[0];
export const storePicture = (id, url) => write([{ store: 'pictures', key: id, value: url }]);
export const deletePictures = (ids) => write(ids.map((key) => ({ store: 'pictures', key })));
