// Ids and a time that a test can foretell.

export const NOW = Date.UTC(2026, 5, 1);

/** Where new ids come from: counted, as 32 hexadecimal digits. */
export function origin() {
  let count = 0;
  return { now: NOW, newId: () => (++count).toString(16).padStart(32, '0') };
}

/** The messages of the branch that is shown, as `role: text`. */
export function shown({ conversation, messages }) {
  const byId = new Map(messages.map((message) => [message.id, message]));
  const path = [];
  for (let at = byId.get(conversation.head); at; at = byId.get(at.parent)) path.unshift(at);
  return path.map(({ role, text }) => `${role}: ${text}`);
}
