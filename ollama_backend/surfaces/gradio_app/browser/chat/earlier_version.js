// Takes over what an earlier version of the page has kept in localStorage.

import { newId } from '../ids.js';
import { readEarlier } from '../storage/earlier.js';
import {
  localArea,
  localJson,
  partChange,
  setLocalJson,
  storeConversation,
  storeMessages,
} from '../storage/records.js';

/** Nothing is removed before all of it is kept anew. */
export async function bringInEarlier() {
  const found = readEarlier((name) => localJson(name, null), newId);
  if (!localArea().getItem('chat.index')) return;
  for (const { conversation, messages, parts } of found) {
    await storeMessages(
      messages,
      parts.map((part) => partChange(part.id, part)),
    );
    await storeConversation(conversation.id, () => conversation);
  }
  const { model, think, system, options, ...rest } = localJson('chat.settings', {});
  setLocalJson('chat.settings', {
    ...rest,
    theme: localArea().getItem('chat.theme') ?? undefined,
    fresh: { model, think: think ?? undefined, system, options },
  });
  for (const { conversation, parts } of found) {
    localArea().removeItem(`chat.c.${conversation.id}`);
    for (const part of parts) localArea().removeItem(`chat.p.${part.id}`);
  }
  localArea().removeItem('chat.theme');
  localArea().removeItem('chat.index');
}
