// The export of ChatGPT: `conversations.json`, each conversation a tree of messages in `mapping`.

import { linked } from './linking.js';
import { isObject, lineOf, listOf, textOf, timeOf } from './shape.js';

/** Marks of citations and other widgets, which mean nothing outside of ChatGPT. */
const WIDGETS = /\ue200[^\ue200\ue201]{0,2000}\ue201|【\d{1,5}[†:][^【】]{0,500}】/g;

/** @param {unknown} source */
export const isChatGpt = (source) => isObject(source) && isObject(source.mapping);

/**
 * @param {unknown} source
 * @param {import('./shape.js').Origin} origin
 */
export function fromChatGpt(source, origin) {
  if (!isObject(source) || !isObject(source.mapping)) return null;
  const found = Object.entries(source.mapping).map(([id, node]) => foundIn(id, node, origin.now));
  const about = {
    title: source.title,
    head: source.current_node,
    created: timeOf(source.create_time, origin.now),
    at: timeOf(source.update_time, origin.now),
  };
  return linked(found, about, origin);
}

/** @param {string} id @param {unknown} node @param {number} now @returns {import('./shape.js').Found} */
function foundIn(id, node, now) {
  const { parent, message } = isObject(node) ? node : /** @type {Record<string, unknown>} */ ({});
  const place = { id, parent: typeof parent === 'string' ? parent : null };
  const role = isObject(message) ? roleOf(message) : '';
  if (!isObject(message) || !role) return { ...place, role: '', text: '' };
  const content = isObject(message.content) ? message.content : {};
  const metadata = isObject(message.metadata) ? message.metadata : {};
  return {
    ...place,
    role,
    text: contentOf(content).replace(WIDGETS, '').trim(),
    thinking: thoughtsOf(content),
    model: lineOf(metadata.model_slug),
    at: timeOf(message.create_time, now),
  };
}

/**
 * Whose message it is; none where nobody was to read it, as calls of tools.
 *
 * @param {Record<string, unknown>} message
 */
function roleOf(message) {
  const role = isObject(message.author) ? message.author.role : '';
  const isHidden = isObject(message.metadata) && message.metadata.is_visually_hidden_from_conversation === true;
  const isForTool = typeof message.recipient === 'string' && message.recipient !== 'all';
  return !isHidden && !isForTool && (role === 'user' || role === 'assistant') ? role : '';
}

/** @param {Record<string, unknown>} content */
function contentOf(content) {
  if (content.content_type === 'code') return `\`\`\`\n${textOf(content.text)}\n\`\`\``;
  if (content.content_type !== 'text' && content.content_type !== 'multimodal_text') return '';
  const parts = listOf(content.parts).map((part) => {
    if (!isObject(part)) return textOf(part);
    // Pictures are files of their own in the export; what was spoken is text.
    return part.content_type === 'image_asset_pointer' ? '[picture]' : textOf(part.text);
  });
  return parts.filter(Boolean).join('\n\n');
}

/** @param {Record<string, unknown>} content */
function thoughtsOf(content) {
  if (content.content_type !== 'thoughts') return '';
  const thoughts = listOf(content.thoughts).filter(isObject);
  return thoughts
    .map(({ summary, content: text }) => [textOf(summary), textOf(text)].filter(Boolean).join('\n'))
    .join('\n\n');
}
