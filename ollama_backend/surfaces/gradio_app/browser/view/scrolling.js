// Where the reader is in the conversation. The page follows the text while the reader is at its end. Needs a browser.

import { setFollowing, state } from '../state.js';
import { setItem } from '../storage/areas.js';
import { tabArea } from '../storage/records.js';

const NEAR = 24;
const PLACES = 'chat.places';
const talk = () => document.getElementById('talk');
/** What calls for earlier messages: see `watchScrolling`. */
let whenScrolled = () => {};
let lastTop = 0;

export function toEnd(always = false) {
  if (always) setFollowing(true);
  const host = talk();
  if (host && state.ui.following) host.scrollTop = host.scrollHeight;
}

const isAtEnd = (host) => host.scrollHeight - host.scrollTop - host.clientHeight < NEAR;

/** Keep what is seen in its place while something above it is drawn. Call what is returned afterwards. */
export function holdPlace() {
  const host = talk();
  const item = firstSeen(host);
  const before = item?.getBoundingClientRect().top;
  return () => {
    if (item?.isConnected && !state.ui.following) host.scrollTop += item.getBoundingClientRect().top - before;
    else toEnd();
  };
}

function places() {
  try {
    return JSON.parse(tabArea().getItem(PLACES)) ?? {};
  } catch {
    return {};
  }
}

/** Where the reader of a conversation was, null for its end. @param {string} id */
export const placeOf = (id) => places()[id] ?? null;

/** Remember where the reader of the conversation that is shown is. */
export function keepPlace(id = state.current) {
  const host = talk();
  if (!host) return;
  const all = places();
  const first = state.ui.following ? null : firstSeen(host);
  if (first)
    all[id] = {
      message: first.dataset.key,
      offset: Math.round(first.getBoundingClientRect().top - host.getBoundingClientRect().top),
    };
  else delete all[id];
  setItem(tabArea(), PLACES, JSON.stringify(all));
}

/** The first message that is seen, at least in part. */
function firstSeen(host) {
  const { top } = host.getBoundingClientRect();
  const items = document.getElementById('messages').children;
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].getBoundingClientRect().bottom > top + 1) high = middle;
    else low = middle + 1;
  }
  return items[low];
}

/** @param {{message: string, offset: number}} place */
export function restorePlace({ message, offset }) {
  const host = talk();
  const item = host.querySelector(`#messages > li[data-key="${CSS.escape(message)}"]`);
  if (!item) return;
  setFollowing(false);
  host.scrollTop += item.getBoundingClientRect().top - host.getBoundingClientRect().top - offset;
}

/** @param {() => void} scrolled called when the reader has moved */
export function watchScrolling(scrolled) {
  whenScrolled = scrolled;
  const host = talk();
  const leave = () => {
    if (host.scrollTop <= 0) return;
    // The event of a scroll to the end may still come. Only scrolling down from here leads back to the end.
    lastTop = host.scrollTop;
    setFollowing(false);
  };
  host.addEventListener('wheel', (event) => event.deltaY < 0 && leave(), { passive: true });
  host.addEventListener('keydown', (event) => ['ArrowUp', 'PageUp', 'Home'].includes(event.key) && leave());
  let touchY = 0;
  host.addEventListener(
    'touchstart',
    (event) => {
      touchY = event.touches[0].clientY;
    },
    { passive: true },
  );
  host.addEventListener('touchmove', (event) => event.touches[0].clientY > touchY && leave(), { passive: true });
  let byHand = false;
  host.addEventListener(
    'pointerdown',
    (event) => {
      byHand = event.target === host;
    },
    { passive: true },
  );
  window.addEventListener(
    'pointerup',
    () => {
      byHand = false;
    },
    { passive: true },
  );
  host.addEventListener(
    'scroll',
    () => {
      if (byHand && host.scrollTop < lastTop) leave();
      else if (host.scrollTop > lastTop && isAtEnd(host)) setFollowing(true);
      lastTop = host.scrollTop;
      whenScrolled();
    },
    { passive: true },
  );
  const sized = new ResizeObserver(() => toEnd());
  sized.observe(host);
  for (const child of host.children) sized.observe(child);
  window.addEventListener('pagehide', () => keepPlace());
}
