// Follows answers through Gradio's queue: one session and one stream for all answers of this page. A stream that breaks
// is opened anew, and the first update of each answer then holds everything so far. Needs a browser.

import { newId } from '../ids.js';
import { setReached } from '../state.js';
import { functionNumber, post, request, ServerError } from './api.js';
import { eventsOf, yieldedValue } from './events.js';

const RETRY_MIN = 300;
const RETRY_MAX = 2000;

/** What the follower is told to do: see `startFollower`. @type {any} */
let owner = null;
/** The answers that are to be followed. @type {Set<string>} */
const wanted = new Set();
/**
 * @type {{hash: string, events: Map<string, {answer: string, next: number}>, abort: AbortController,
 *   reading: boolean, broken: boolean}}
 */
let session = newSession();
let receivedAt = 0;
let retryDelay = RETRY_MIN;
let retryTimer = null;
/** Answers whose request is on its way. @type {Set<string>} */
const joining = new Set();

function newSession() {
  return { hash: newId(), events: new Map(), abort: new AbortController(), reading: false, broken: false };
}

/**
 * @param {{turnOf: (id: string) => Promise<object | null>, update: (update: any) => void,
 *   refused: (id: string, words: string, code: string) => void, lost: () => void}} functions `turnOf` returns what the
 *   server is sent to follow an answer, `update` takes what it sends, `refused` takes why it will not
 */
export function startFollower(functions) {
  owner = functions;
}

/** Follow an answer until `unfollow`. */
export function followAnswer(id) {
  wanted.add(id);
  join(id);
}

export function unfollow(id) {
  wanted.delete(id);
}

/** Milliseconds since the stream last brought anything, 0 where nothing is followed. */
export const silence = () => (session.reading ? Date.now() - receivedAt : 0);

/** Drop the stream and open another. */
export function followAnew() {
  const old = session;
  session = newSession();
  old.abort.abort();
  clearTimeout(retryTimer);
  retryTimer = null;
  for (const id of wanted) join(id);
}

async function join(id) {
  const mine = session;
  const known = [...mine.events.values()].some((event) => event.answer === id);
  if (known || joining.has(`${mine.hash} ${id}`)) return;
  joining.add(`${mine.hash} ${id}`);
  try {
    const turn = await owner.turnOf(id);
    if (!turn) return;
    const body = { data: [turn], event_data: null, fn_index: functionNumber('follow'), session_hash: mine.hash };
    const { event_id: event } = await post('gradio_api/queue/join', body, { signal: mine.abort.signal });
    if (mine !== session) return;
    mine.events.set(event, { answer: id, next: 0 });
    setReached(true);
    if (!mine.reading) read(mine);
  } catch (error) {
    if (mine !== session || error.name === 'AbortError') return;
    if (error instanceof ServerError && error.status < 500 && error.status !== 404) refuse(id, error);
    else lose();
  } finally {
    joining.delete(`${mine.hash} ${id}`);
  }
}

function refuse(id, error) {
  wanted.delete(id);
  owner.refused(id, error.words, error.status === 401 ? 'unauthorized' : 'refused');
}

async function read(mine) {
  const onData = () => {
    receivedAt = Date.now();
  };
  mine.reading = true;
  onData();
  try {
    const path = `gradio_api/queue/data?session_hash=${mine.hash}`;
    const stream = await request(path, { signal: mine.abort.signal });
    for await (const message of eventsOf(stream.body, onData)) take(mine, message);
  } catch (error) {
    if (mine === session && error.name !== 'AbortError') breakOff(mine);
  }
  mine.reading = false;
  if (mine !== session) return;
  // Gradio ends the stream after the last event; one that was joined at that instant needs another.
  if (mine.events.size) read(mine);
  else if (wanted.size && (mine.broken || !isJoining(mine))) lose();
}

/** Whether an answer is about to be followed in a session; its stream is opened then. */
const isJoining = ({ hash }) => [...joining].some((key) => key.startsWith(`${hash} `));

function breakOff(mine) {
  mine.broken = true;
  mine.events.clear();
}

function take(mine, message) {
  if (mine !== session) return;
  if (message.msg === 'unexpected_error') {
    breakOff(mine);
    return;
  }
  const event = mine.events.get(message.event_id);
  if (!event) return;
  if (message.msg === 'process_generating') takeUpdate(mine, message, event);
  if (message.msg !== 'process_completed') return;
  mine.events.delete(message.event_id);
  // Its answer goes on, but nobody follows it any more.
  if (wanted.has(event.answer)) setTimeout(() => wanted.has(event.answer) && join(event.answer), RETRY_MIN);
}

function takeUpdate(mine, message, event) {
  const update = yieldedValue(message);
  if (update?.n === event.next) {
    event.next++;
    retryDelay = RETRY_MIN;
    setReached(true);
    owner.update(update);
  } else if (update) {
    // One was missed: the first update of another event holds everything.
    mine.events.delete(message.event_id);
    join(event.answer);
  }
}

function lose() {
  owner.lost();
  session.abort.abort();
  session = newSession();
  retryTimer ??= setTimeout(() => {
    retryTimer = null;
    for (const id of wanted) join(id);
  }, retryDelay);
  retryDelay = Math.min(RETRY_MAX, retryDelay * 2);
}
