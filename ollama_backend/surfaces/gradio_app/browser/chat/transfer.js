// Conversations out of this browser and into it. The formats are loaded when they are needed.

import { newId } from '../ids.js';
import { patchConversation, state } from '../state.js';
import {
  loadHtml,
  loadMessages,
  loadPicture,
  storeConversation,
  storeMessages,
  storePicture,
} from '../storage/records.js';
import { branch } from '../tree.js';
import { t } from '../words.js';
import { tellTabs } from './tabs.js';

/** Conversations with their messages and pictures. @param {string[]} ids */
async function collected(ids) {
  const list = [];
  for (const id of ids) {
    const messages = await loadMessages(id);
    const pictures = new Map();
    for (const picture of messages.flatMap((message) => message.images ?? []))
      pictures.set(picture, await loadPicture(picture));
    list.push({ conversation: state.conversations.get(id), messages, pictures });
  }
  return list;
}

const pathOf = ({ conversation, messages }) =>
  branch(new Map(messages.map((each) => [each.id, each])), conversation.head);

/** @param {string[]} ids @returns {Promise<string>} */
export async function exportJson(ids) {
  const { asJson } = await import('../formats/own_json.js');
  return asJson(await collected(ids), Date.now());
}

/** @param {string[]} ids @returns {Promise<string>} */
export async function exportMarkdown(ids) {
  const { asMarkdown } = await import('../formats/markdown.js');
  const list = (await collected(ids)).map((each) => ({ title: each.conversation.title, path: pathOf(each) }));
  return asMarkdown(list, { you: t('share.you'), assistant: t('share.assistant') });
}

/**
 * One conversation as a web page. `css` are the styles of code.
 *
 * @param {string} id
 * @param {{css: string, outcomeOf: (message: import('../tree.js').Message) => string, language: string,
 *   direction: 'ltr' | 'rtl'}} page
 */
export async function exportHtml(id, { css, outcomeOf, language, direction }) {
  const { sharePage } = await import('../formats/share.js');
  const [found] = await collected([id]);
  const path = pathOf(found);
  const kept = await loadHtml(path);
  const messages = path.map((message, place) => ({
    role: message.role,
    text: message.text,
    html: (state.html.get(message.id) ?? kept[place])?.content.join('\n'),
    thinking: message.thinking,
    model: message.model,
    note: outcomeOf(message),
    images: (message.images ?? []).map((picture) => found.pictures.get(picture)).filter(Boolean),
    files: (message.files ?? []).map((file) => file.name),
  }));
  return sharePage({ title: found.conversation.title, messages, at: Date.now(), css }, { language, direction, t });
}

/** @param {string} title @param {string} extension */
export async function fileName(title, extension) {
  return (await import('../formats/share.js')).fileName(title, extension);
}

/** Bring in the conversations of a file. Returns what to say about it. @param {File} file */
export async function importConversations(file) {
  const { importFile, importWords } = await import('../formats/import.js');
  const report = await importFile(file, { newId, now: Date.now() });
  for (const { conversation, messages, pictures } of report.list) {
    for (const [id, url] of pictures) await storePicture(id, url);
    await storeMessages(messages);
    await storeConversation(conversation.id, () => conversation);
    patchConversation(conversation.id, conversation);
    tellTabs({ conversation: conversation.id, messages: [] });
  }
  const { key, values } = importWords(report);
  return [t(key, values), state.storage.full && t('storage.full')].filter(Boolean).join(' ');
}
