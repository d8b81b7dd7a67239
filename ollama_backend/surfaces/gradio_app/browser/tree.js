// The messages of a conversation as a tree: Retry and Edit add a sibling to what they replace, so that nothing is lost.

/**
 * A conversation, as it is kept in the browser. What is absent is the default; `at` and `readAt` are milliseconds.
 *
 * @typedef {object} Conversation
 * @property {string} id 32 hexadecimal digits
 * @property {string} title
 * @property {boolean} [named] the title was given by hand
 * @property {number} created
 * @property {number} at when something was last written into it
 * @property {number} [endedAt] when its last answer ended
 * @property {number} [readAt] when it was last shown
 * @property {string | null} head the last message of the branch that is shown
 * @property {string} [lastAnswer] the answer that ended last
 * @property {boolean} [pinned]
 * @property {string} [model]
 * @property {string} [system]
 * @property {boolean | 'low' | 'medium' | 'high' | 'max'} [think]
 * @property {Record<string, number>} [options]
 * @property {number} [deletedAt] it is deleted some seconds after this
 */

/**
 * A message. The answers of a model have the id under which the server knows them.
 *
 * @typedef {object} Message
 * @property {string} id 32 hexadecimal digits
 * @property {string} conversation
 * @property {string | null} parent
 * @property {'user' | 'assistant'} role
 * @property {string} text
 * @property {number} at
 * @property {string[]} [images] of a user: the ids of pictures
 * @property {Attachment[]} [files] of a user
 * @property {string} [thinking] of a model, like all that follow
 * @property {number} [thought] seconds of thinking
 * @property {string} [model]
 * @property {object} [stats] counts and durations
 * @property {'running' | 'done' | 'stopped' | 'interrupted' | 'failed'} [end]
 * @property {string} [error] in words
 * @property {string} [code] of the error
 * @property {number} [context] tokens that the model could read
 * @property {boolean} [cut] the beginning of the conversation did not fit
 * @property {boolean} [seen] of a running answer: the server has begun it
 *
 * @typedef {import('./files/plan.js').StoredFile} Attachment
 */

/**
 * The branch that ends with a message, from its first message on.
 *
 * @param {Map<string, Message>} messages
 * @param {string | null | undefined} head
 * @returns {Message[]}
 */
export function branch(messages, head) {
  const found = [];
  for (let message = messages.get(head); message; message = messages.get(message.parent)) {
    found.push(message);
    if (found.length > messages.size) return []; // a circle, which only a damaged store can hold
  }
  return found.reverse();
}

/**
 * The messages by their parent, the oldest first.
 *
 * @param {Map<string, Message>} messages
 * @returns {Map<string | null, Message[]>}
 */
export function byParent(messages) {
  const children = new Map();
  for (const message of messages.values()) {
    const siblings = children.get(message.parent);
    if (siblings) siblings.push(message);
    else children.set(message.parent, [message]);
  }
  for (const siblings of children.values()) siblings.sort((a, b) => a.at - b.at);
  return children;
}

/**
 * The alternatives to a message, itself included, the oldest first.
 *
 * @param {Map<string | null, Message[]>} children
 * @param {Message} message
 */
export function alternatives(children, message) {
  return (children.get(message.parent) ?? []).filter((other) => other.role === message.role);
}

/**
 * Where the branch through a message ends: it follows the latest message at each fork.
 *
 * @param {Map<string | null, Message[]>} children
 * @param {string} id
 */
export function endOf(children, id) {
  for (let steps = children.size; steps > 0; steps--) {
    const last = children.get(id)?.at(-1);
    if (!last) return id;
    id = last.id;
  }
  return id;
}

/** @param {Message[]} path @returns {Message | undefined} the last message of the visitor */
export function lastQuestion(path) {
  return path.findLast((message) => message.role === 'user');
}
