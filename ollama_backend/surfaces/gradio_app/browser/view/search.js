// Search in the titles and texts of all conversations, and marks at what was found. Needs a browser.

import { excerptOf, folded } from '../excerpts.js';
import { setUi, state } from '../state.js';
import { eachMessage } from '../storage/records.js';

const WAIT = 150;
let timer = null;
let searching = 0;

/** @param {string} typed */
export function search(typed) {
  const wanted = folded(typed.trim());
  clearTimeout(timer);
  searching++;
  setUi({ search: wanted, hits: null });
  markHits();
  if (wanted) timer = setTimeout(lookThrough, WAIT, wanted, searching);
}

async function lookThrough(wanted, mine) {
  const hits = new Map();
  await eachMessage(({ conversation, id, text, files = [] }) => {
    if (!hits.has(conversation)) {
      const excerpt = [text, ...files.map((file) => file.text)]
        .map((each) => excerptOf(each ?? '', wanted))
        .find(Boolean);
      if (excerpt) hits.set(conversation, { message: id, excerpt });
    }
    return mine === searching;
  });
  if (mine === searching) setUi({ hits });
}

/** Mark in the texts that are drawn what is being searched for, where the browser can do that without changing them. */
export function markHits() {
  const registry = CSS.highlights;
  if (!registry) return;
  registry.delete('search');
  const wanted = state.ui.search;
  const host = document.getElementById('messages');
  if (!wanted || !host) return;
  const ranges = [];
  const texts = document.createTreeWalker(host, NodeFilter.SHOW_TEXT);
  while (texts.nextNode() && ranges.length < 500) {
    const node = texts.currentNode;
    for (let at = folded(node.data).indexOf(wanted); at >= 0 && at + wanted.length <= node.length; ) {
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + wanted.length);
      ranges.push(range);
      at = folded(node.data).indexOf(wanted, at + wanted.length);
    }
  }
  registry.set('search', new Highlight(...ranges));
}
