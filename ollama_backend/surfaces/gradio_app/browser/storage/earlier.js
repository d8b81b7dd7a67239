// Conversations as an earlier version of the page kept them in localStorage, as records of today.

/**
 * @param {{id: string, title: string, at: number, named?: boolean}} entry of the index
 * @param {{messages: any[], turn: any}} kept
 * @param {any} part of the unfinished answer
 * @param {() => string} newId
 */
export function convertEarlier(entry, kept, part, newId) {
  const { id, title, named, at } = entry;
  const first = at - 1000 * (kept.messages?.length ?? 0);
  const messages = [];
  for (const { turn: _, ...message } of kept.messages ?? []) {
    const parent = messages.at(-1)?.id ?? null;
    messages.push({ ...message, id: newId(), conversation: id, parent, at: first + 1000 * messages.length });
  }
  const parts = [];
  if (kept.turn?.id && messages.length) {
    const { id: answer, seen, ask } = kept.turn;
    const parent = messages.at(-1).id;
    messages.push({ id: answer, conversation: id, parent, role: 'assistant', text: '', at, end: 'running', seen, ask });
    parts.push({ ...part, id: answer, conversation: id });
  }
  const head = messages.at(-1)?.id ?? null;
  return { conversation: { id, title, named: !!named, created: first, at, readAt: at, head }, messages, parts };
}

/** All of them. @param {(name: string) => any} get an item of localStorage, parsed */
export function readEarlier(get, newId) {
  const index = get('chat.index');
  if (!Array.isArray(index)) return [];
  return index
    .filter((entry) => typeof entry?.id === 'string')
    .map((entry) => {
      const kept = get(`chat.c.${entry.id}`) ?? { messages: [], turn: null };
      return convertEarlier(entry, kept, kept.turn && get(`chat.p.${kept.turn.id}`), newId);
    });
}
