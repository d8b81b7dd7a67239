// Tells the other tabs of this browser what has changed in the records, and takes what they tell. Needs a browser.

import { dropConversation, dropMessages, patchConversation, putMessage, setMessages, state } from '../state.js';
import { loadConversation, loadConversations, loadMessages, readMessages } from '../storage/records.js';

/** @type {BroadcastChannel | null} */
let channel = null;

/** @param {{changed: (id: string) => void, key: () => void, settings: () => void}} functions */
export function listenToTabs(functions) {
  if (typeof BroadcastChannel === 'undefined') return;
  channel = new BroadcastChannel('chat');
  channel.addEventListener('message', async ({ data }) => {
    if (data.conversation) {
      await takeOver(data.conversation, data.messages);
      functions.changed(data.conversation);
    } else functions[data.topic]?.();
  });
}

/** @param {{conversation: string, messages: string[]} | {topic: 'key' | 'settings'}} message */
export const tellTabs = (message) => channel?.postMessage(message);

async function takeOver(id, changed) {
  const stored = await loadConversation(id);
  if (!stored) {
    dropConversation(id);
    return;
  }
  // Messages first: what draws the conversation finds them all.
  if (state.messages.has(id)) {
    const messages = await readMessages(id, changed);
    for (const [place, message] of messages.entries()) {
      if (message) putMessage(message);
      else dropMessages(id, [changed[place]]);
    }
  } else if (id === state.current) setMessages(id, await loadMessages(id));
  patchConversation(id, stored);
}

/** Read the conversation that is shown again: this tab was asleep, and heard nothing. */
export async function readAgain() {
  const id = state.current;
  if (state.conversations.has(id)) setMessages(id, await loadMessages(id));
  for (const conversation of await loadConversations()) patchConversation(conversation.id, conversation);
}
