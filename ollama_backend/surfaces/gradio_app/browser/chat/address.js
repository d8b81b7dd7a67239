// The address bar: `#c=ID` names the conversation, `#key=KEY` brings a key and is removed at once. Needs a browser.

import { isId } from '../ids.js';
import { offerKey, state } from '../state.js';
import { openConversation } from './conversations.js';

const fragment = () => new URLSearchParams(location.hash.slice(1));
const here = () => location.pathname + location.search;

/** The conversation that the address names. */
export const conversationInAddress = () => {
  const id = fragment().get('c') ?? '';
  return isId(id) ? id : '';
};

/** Take a key out of the address. Returns whether there was one. */
export function takeKeyFromAddress() {
  const key = fragment().get('key')?.trim();
  if (!key) return false;
  history.replaceState(history.state, '', here() + addressOf(state.current));
  // On huggingface.co the address bar is the outer page's; it listens for this.
  if (window.parent !== window) {
    window.parent.postMessage({ queryString: location.search, hash: '' }, 'https://huggingface.co');
  }
  offerKey(key);
  return true;
}

const addressOf = (id) => (state.conversations.get(id)?.title ? `#c=${id}` : '');

/** Let the address name the conversation that is shown. Going to another adds an entry to the history. */
export function showInAddress() {
  const wanted = addressOf(state.current);
  if (location.hash === wanted || fragment().has('key')) return;
  const { shown } = history.state ?? {};
  const next = { ...history.state, shown: state.current };
  if (shown === undefined || shown === state.current) history.replaceState(next, '', here() + wanted);
  else history.pushState(next, '', here() + wanted);
}

/** @param {() => void} keyArrived called when a link with a key was pasted into the address bar */
export function watchAddress(keyArrived) {
  window.addEventListener('hashchange', () => {
    if (takeKeyFromAddress()) keyArrived();
  });
  window.addEventListener('popstate', () => {
    if (fragment().has('key')) return;
    const id = conversationInAddress() || history.state?.shown;
    if (id && id !== state.current && (state.conversations.has(id) || !location.hash)) openConversation(id);
  });
}
