// Requests to this server. The key travels in a header. Needs a browser.

import { newId } from '../ids.js';
import { state } from '../state.js';

const CALL_TIMEOUT = 10_000;
// Gradio's queue lives in one process. Where several serve the page, a proxy sends all requests with this name to one.
const SESSION_HEADER = 'X-Chat-Session';
let session = '';

export class ServerError extends Error {
  /** @param {number} status @param {string} words what the server said, empty where it said nothing for people */
  constructor(status, words) {
    super(words || `HTTP ${status}`);
    this.status = status;
    this.words = words;
  }
}

/** An address of this server, also where a proxy serves it under a path of its own. */
export const addressOf = (path) => new URL(path, document.baseURI);

/** @param {string} path @param {RequestInit & {key?: string}} options */
export function request(path, { key = state.key, headers, ...options } = {}) {
  session ||= newId();
  return fetch(addressOf(path), {
    cache: 'no-store',
    ...options,
    headers: { ...headers, [SESSION_HEADER]: session, ...(key ? { 'X-API-Key': key } : {}) },
  });
}

/** Post JSON and return the answer as JSON. Throws ServerError, and TypeError where there is no connection. */
export async function post(path, body, options = {}) {
  const answer = await request(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(CALL_TIMEOUT),
    ...options,
  });
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ServerError(answer.status, typeof json.error === 'string' ? json.error : '');
  return json;
}

/** The number under which Gradio knows one of the page's functions. */
export const functionNumber = (name) => window.gradio_config.dependencies.find((each) => each.api_name === name)?.id;

/** Call a function of the page that answers at once. */
export async function call(name, values, options = {}) {
  const body = { data: values, fn_index: functionNumber(name), session_hash: newId() };
  return (await post('gradio_api/run/predict', body, options)).data[0];
}
