// What a model is sent of a conversation.

/** @typedef {import('./tree.js').Message} Message */

/**
 * The messages of a branch as the server takes them. Their roles alternate: an answer without a word is left out, and
 * the questions around it become one. `wrap` returns the text of a message with its files.
 *
 * @param {Message[]} path
 * @param {(message: Message) => string} wrap
 * @returns {{role: string, content: string, images?: string[]}[]}
 */
export function messagesFor(path, wrap = (message) => message.text) {
  const sent = [];
  for (const message of path) {
    if (message.role === 'assistant' && !message.text) continue;
    const content = wrap(message);
    const last = sent.at(-1);
    if (last?.role !== message.role) sent.push({ role: message.role, content, images: message.images ?? [] });
    else {
      last.content = [last.content, content].filter(Boolean).join('\n\n');
      last.images = [...last.images, ...(message.images ?? [])];
    }
  }
  if (sent[0]?.role === 'assistant') sent.shift();
  return sent.map(({ images, ...message }) => (images.length ? { ...message, images } : message));
}

/** A title from the first words of a conversation. */
export function titleFrom(text, longest = 60) {
  const line = text
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, '')
    .replace(/\s+/g, ' ')
    .trim();
  const letters = [...line];
  return letters.length > longest
    ? `${letters
        .slice(0, longest - 1)
        .join('')
        .trimEnd()}…`
    : line;
}
