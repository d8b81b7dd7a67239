// HTML for messages that have none here: asked for together, a little at a time. Needs a browser.

import { putHtml, state } from '../state.js';
import { loadHtml, storeHtml } from '../storage/records.js';
import { call } from './api.js';

const BATCH = 40_000; // characters
const TIMEOUT = 30_000;

/** Messages that wait for the server, the latest first. @type {Map<string, import('../tree.js').Message>} */
const waiting = new Map();
let asking = false;

/**
 * Bring the HTML of messages into the state: from this browser, and for the rest from the server, later. Returns when
 * what this browser has is there.
 *
 * @param {import('../tree.js').Message[]} messages
 */
export async function wantHtml(messages) {
  const missing = messages.filter(
    (each) => each.role === 'assistant' && each.end !== 'running' && !state.html.has(each.id),
  );
  if (!missing.length) return;
  const kept = await loadHtml(missing).catch(() => []);
  missing.forEach((message, place) => {
    if (kept[place]) putHtml(message.id, kept[place]);
    const { renderer } = state.site;
    const isCurrent = kept[place] && (!renderer || kept[place].renderer === renderer);
    if (!isCurrent && (message.text || message.thinking)) waiting.set(message.id, message);
  });
  askForHtml();
}

export async function askForHtml() {
  if (asking || !waiting.size || !state.reached || !state.site.access || state.site.access === 'denied') return;
  asking = true;
  try {
    while (waiting.size) await askForBatch(nextBatch());
  } catch (error) {
    console.warn(`Not rendered: ${error.message}`);
  } finally {
    asking = false;
  }
}

function nextBatch() {
  const batch = [];
  let size = 0;
  for (const message of [...waiting.values()].reverse()) {
    size += message.text.length + (message.thinking?.length ?? 0);
    if (batch.length && size > BATCH) break;
    batch.push(message);
  }
  return batch;
}

async function askForBatch(batch) {
  for (const message of batch) waiting.delete(message.id);
  const texts = batch.flatMap(({ id, text, thinking = '' }) => [
    { prefix: `t${id.slice(0, 12)}`, text: thinking },
    { prefix: `c${id.slice(0, 12)}`, text },
  ]);
  const blocks = await call('render', [texts], { signal: AbortSignal.timeout(TIMEOUT) });
  batch.forEach((message, place) => {
    const html = { thinking: blocks[2 * place], content: blocks[2 * place + 1], renderer: state.site.renderer };
    putHtml(message.id, html);
    storeHtml(message, html);
  });
}
