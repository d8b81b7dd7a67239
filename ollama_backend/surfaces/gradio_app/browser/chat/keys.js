// The key: kept in localStorage, sent in a header, and taken once from a link.

import { hello, RATE_LIMITED } from '../server/watch.js';
import { notice, offerKey, setKey, setKeyFault, setSite, state } from '../state.js';
import { setItem } from '../storage/areas.js';
import { localArea } from '../storage/records.js';
import { t } from '../words.js';
import { tellTabs } from './tabs.js';

const isHeaderText = (text) => /^[\x20-\x7e]+$/.test(text);

export const loadKey = () => setKey(localArea().getItem('chat.key') ?? '');

function keepKey(key) {
  setKey(key);
  if (key) setItem(localArea(), 'chat.key', key);
  else localArea().removeItem('chat.key');
  tellTabs({ topic: 'key' });
}

/** The key in what was pasted: a whole link is as good as the key itself. @param {string} text */
export function keyIn(text) {
  const fragment = /^https?:\/\/[^#\s]*#(.*)$/s.exec(text.trim());
  return (new URLSearchParams(fragment?.[1] ?? '').get('key') ?? text).trim();
}

/** Try a key, and keep it if it is right. Returns what is wrong with it, in words, or nothing. @param {string} typed */
export async function tryKey(typed) {
  const key = keyIn(typed);
  if (!isHeaderText(key)) return t('key.characters');
  const site = await hello(key);
  if (site === null) return t('key.unreachable');
  if (site.code === RATE_LIMITED) return t('key.throttled');
  if (site.access === 'denied') return t('key.wrong');
  keepKey(key);
  setKeyFault('');
  setSite(site);
  return '';
}

/**
 * Learn what the server says. A key from a link is taken when no working one is there, and otherwise only after `ask`
 * has asked. Returns false where there is no connection.
 *
 * @param {(words: string, yes: string, then: () => void) => void} ask
 */
export async function signIn(ask) {
  const site = await hello();
  if (!site?.access) return false;
  const offered = state.offeredKey;
  offerKey('');
  const isNew = offered && offered !== state.key && site.access !== 'open';
  const fault = isNew && site.access === 'denied' ? await tryKey(offered) : null;
  if (fault === '') return true;
  setSite(site);
  if (fault) setKeyFault(fault);
  else if (isNew) ask(t('key.other'), t('key.useNew'), async () => notice(await tryKey(offered)));
  return true;
}

export function signOut() {
  keepKey('');
  setSite({ access: 'denied' });
}
