// The messages of the conversation that is shown: a list of which only the part around the reader is drawn.
// Needs a browser.

import { runningHere, shownPath } from '../chat/acts.js';
import { wantHtml } from '../server/rendering.js';
import { setFollowing, state } from '../state.js';
import { alternatives, byParent } from '../tree.js';
import { focusIn, keepFocus, keyed } from './dom.js';
import { MessageView } from './message.js';
import { holdPlace, keepPlace, placeOf, restorePlace, toEnd } from './scrolling.js';

const SLICE = 12; // milliseconds of drawing before the browser may do something else
const MOST = 20;
const SCREENS = 1.5; // drawn above what is seen

/** What is drawn: from the message with the number `from` to the last. `batch` are drawn together. */
const drawn = { conversation: '', path: [], from: 0, filling: 0, batch: 4 };
/** @type {Map<string, MessageView>} */
const views = new Map();

const list = () => document.getElementById('messages');
const talk = () => document.getElementById('talk');

/** Draw the conversation as it is now. */
export function drawTalk() {
  const host = list();
  if (!host) return;
  const path = shownPath();
  const isOther = drawn.conversation !== state.current;
  if (isOther) {
    if (drawn.conversation) keepPlace(drawn.conversation);
    setFollowing(!placeOf(state.current));
    Object.assign(drawn, { conversation: state.current, from: path.length, filling: drawn.filling + 1 });
    host.replaceChildren();
    views.clear();
  } else drawn.from = firstDrawn(path);
  drawn.path = path;
  drawShown(host);
  if (isOther) fill(placeOf(state.current));
  else fill();
}

/** The number of the first message that stays drawn when the branch changes. */
function firstDrawn(path) {
  const before = drawn.path.slice(drawn.from);
  const kept = path.findIndex((message) => message.id === before[0]?.id);
  return kept >= 0 ? kept : Math.max(0, path.length - Math.max(2, before.length));
}

function drawShown(host) {
  const shown = drawn.path.slice(drawn.from);
  const byId = new Map(shown.map((message) => [message.id, message]));
  const children = byParent(state.messages.get(state.current) ?? new Map());
  const isBusy = !!runningHere();
  const focused = focusIn(host);
  const at = [...host.children].indexOf(focused?.closest('.message'));
  keyed(
    host,
    shown.map((message) => message.id),
    (id) => {
      views.set(id, new MessageView(byId.get(id)));
      return views.get(id).element;
    },
    (_, id) => {
      const message = byId.get(id);
      const others = alternatives(children, message);
      const place = others.indexOf(message) + 1;
      views.get(id).update(message, {
        isLast: message === shown.at(-1),
        isBusy,
        isRead: state.ui.reading === id,
        place,
        count: others.length,
      });
    },
  );
  for (const id of views.keys()) if (!byId.has(id)) views.delete(id);
  if (focused && !focused.isConnected) keepFocus(host.children[at] ?? host.lastElementChild ?? host, focused);
  drawLive();
  wantHtml(shown);
}

/** Draw what has come of the answers that are seen. */
export function drawLive() {
  for (const live of state.live.values()) if (live.conversation === state.current) views.get(live.id)?.drawLive(live);
}

/** Draw finished messages whose HTML has arrived. */
export function drawHtml() {
  if (!list()) return;
  const keep = holdPlace();
  for (const view of views.values()) view.drawHtml();
  keep();
}

const needsMore = () => drawn.from > 0 && talk().scrollTop < SCREENS * talk().clientHeight;
const pause = () => new Promise((resolve) => setTimeout(resolve));

/**
 * Draw earlier messages above, until there are enough, or the message of a place is there to be shown.
 *
 * @param {{message: string, offset: number} | null} [place] null is the end, undefined where the reader is
 */
export async function fill(place = undefined) {
  const mine = place === undefined ? drawn.filling : ++drawn.filling;
  const isCurrent = () => mine === drawn.filling && talk();
  const isMissing = () => place && drawn.from > 0 && !views.has(place.message);
  while (isCurrent() && (needsMore() || isMissing())) {
    const first = Math.max(0, drawn.from - drawn.batch);
    const last = drawn.path[drawn.from - 1];
    await wantHtml(drawn.path.slice(first, drawn.from));
    if (!isCurrent() || drawn.path[drawn.from - 1] !== last) return;
    drawEarlier(first);
    if (place === null) toEnd();
    await pause();
  }
  if (!isCurrent()) return;
  if (place) restorePlace(place);
  else if (place === null) toEnd();
}

function drawEarlier(first) {
  const count = drawn.from - first;
  const began = performance.now();
  const keep = holdPlace();
  drawn.from = first;
  drawShown(list());
  keep();
  const took = Math.max(1, performance.now() - began);
  drawn.batch = Math.max(1, Math.min(MOST, Math.round((count * SLICE) / took)));
}

/** Draw everything, as for printing. */
export function drawAll() {
  drawn.from = 0;
  drawShown(list());
}

/** Show a message, wherever it is. @param {string} id */
export async function showMessage(id) {
  await fill({ message: id, offset: 40 });
  const { element } = views.get(id) ?? {};
  element?.focus({ preventScroll: true });
  return element;
}
