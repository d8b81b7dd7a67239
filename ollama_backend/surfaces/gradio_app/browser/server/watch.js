// Whether the server is there, and what it says of itself. Needs a browser.

import { newId } from '../ids.js';
import { setReached, setSite, state } from '../state.js';
import { call, request, ServerError } from './api.js';
import { followAnew, silence } from './follower.js';

// A lost connection is reported within three seconds: after CHECK, SILENT and PROBE_TIMEOUT.
const CHECK = 250;
const SILENT = 1300; // longer than the second after which the server says at least that it is there
const STUCK = 4000;
const PROBE_TIMEOUT = 1100;
const UNWELL = 2500;
const WELL = 30_000;
export const RATE_LIMITED = 'rate_limited';
const FORGOTTEN = 120_000; // models that were installed meanwhile

let requestedAt = 0;
let helloAt = 0;
let probing = false;
let heartbeat = null;

/**
 * What the server says, or null where it cannot be reached. It has no `access` where the server has had too many
 * requests from here to say anything.
 *
 * @param {string} [key] another than the one that is kept
 */
export async function hello(key) {
  helloAt = requestedAt = Date.now();
  try {
    const site = await call('hello', [], key === undefined ? {} : { key });
    setReached(true);
    return site;
  } catch (error) {
    const isThrottled = error instanceof ServerError && error.status === 429;
    setReached(isThrottled);
    return isThrottled ? { code: RATE_LIMITED } : null;
  }
}

/** Ask again, and remember what was said. */
export async function learn() {
  const site = await hello();
  if (site?.access) setSite(site);
  return site;
}

/** Ask for the models, unless that was done just now. */
export function refreshModels() {
  if (state.site.access !== '' && state.site.access !== 'denied' && Date.now() - helloAt > 3000) learn();
}

async function probe() {
  if (probing) return;
  probing = true;
  requestedAt = Date.now();
  const wasReached = state.reached;
  try {
    const answer = await request('health', { key: '', signal: AbortSignal.timeout(PROBE_TIMEOUT) });
    const health = await answer.json();
    setReached(true);
    if (!wasReached) followAnew();
    const { status, model, reason, completed } = state.site;
    const changed = health.status !== status || health.model !== model || health.completed !== completed;
    if (changed || (health.reason ?? '') !== (reason ?? '') || Date.now() - helloAt > FORGOTTEN) await learn();
  } catch {
    setReached(false);
  } finally {
    probing = false;
  }
}

/** How long the server may be left alone, in milliseconds. */
function patience() {
  if (!state.reached) return 1000;
  if (silence() > SILENT) return SILENT;
  return state.site.status === 'ok' || state.site.access === 'denied' ? WELL : UNWELL;
}

function check() {
  const idle = !state.live.size;
  if (document.hidden && idle) closeHeartbeat();
  else if (idle && state.reached && state.site.access) openHeartbeat();
  else if (!idle) closeHeartbeat();
  if ((document.hidden && state.reached && idle) || state.site.access === '') return;
  if (silence() > STUCK && state.reached) followAnew();
  if (Date.now() - requestedAt >= patience()) probe();
}

/** An idle page holds a connection open whose end says at once that the server has gone. */
async function openHeartbeat() {
  if (heartbeat) return;
  const mine = new AbortController();
  heartbeat = mine;
  try {
    const answer = await request(`gradio_api/heartbeat/${newId()}`, { signal: mine.signal });
    const reader = answer.body.getReader();
    while (!(await reader.read()).done);
  } catch {
    // The end of the connection is all that it can say.
  }
  if (heartbeat !== mine) return;
  heartbeat = null;
  requestedAt = 0;
}

function closeHeartbeat() {
  heartbeat?.abort();
  heartbeat = null;
}

/** @param {Window} window */
export function watchServer(window) {
  setInterval(check, CHECK);
  window.addEventListener('online', () => {
    requestedAt = 0;
    check();
  });
  window.addEventListener('offline', () => setReached(false));
  window.document.addEventListener('visibilitychange', () => {
    requestedAt = Math.min(requestedAt, Date.now() - UNWELL);
    check();
  });
}
