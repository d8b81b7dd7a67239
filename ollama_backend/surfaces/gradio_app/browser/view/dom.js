// Elements from names, properties and children. Text goes in as text. Needs a browser.

import { locale } from '../words.js';

const ICONS = {
  again: 'M5 12a7 7 0 1 1 2 5M5 19v-4h4',
  attach: 'M8 12l6-6a3 3 0 0 1 4 4l-8 8a5 5 0 0 1-7-7l7-7',
  back: 'M14 6l-6 6 6 6',
  bin: 'M5 7h14M10 7V5h4v2M7 7l1 13h8l1-13',
  close: 'M6 6l12 12M18 6L6 18',
  code: 'M9 8l-4 4 4 4M15 8l4 4-4 4',
  copy: 'M9 9h10v11H9zM5 15V4h10',
  down: 'M12 5v14M6 13l6 6 6-6',
  file: 'M7 3h7l4 4v14H7zM14 3v5h4',
  forward: 'M10 6l6 6-6 6',
  gear: 'M4 7h10M18 7h2M4 17h2M10 17h10M14 5v4M6 15v4',
  menu: 'M4 6h16M4 12h16M4 18h16',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  open: 'M7 10l5 5 5-5',
  pen: 'M4 20l4-1L19 8l-3-3L5 16zM14 7l3 3',
  pin: 'M9 4h6l-1 6 4 3H6l4-3zM12 13v7',
  plus: 'M12 5v14M5 12h14',
  share: 'M12 15V4M8 8l4-4 4 4M5 14v6h14v-6',
  speak: 'M5 10v4h3l5 4V6L8 10zM16 9a4 4 0 0 1 0 6',
  stop: 'M7 7h10v10H7z',
  tick: 'M5 13l4 4L19 7',
  undo: 'M9 8L5 12l4 4M5 12h9a5 5 0 0 1 0 10h-2',
  up: 'M12 19V5M6 11l6-6 6 6',
  wrap: 'M4 6h16M4 12h13a3 3 0 0 1 0 6h-5M14 15l-3 3 3 3M4 18h3',
};

/**
 * An element. Properties that begin with `on` are listeners; true sets an attribute, false and null leave it out.
 *
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...any} children elements, texts, lists of them; what is false or null is left out
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value') element.value = value ?? '';
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(3).filter((child) => child || child === 0));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const path = document.createElementNS(svg.namespaceURI, 'path');
  const look = { viewBox: '0 0 24 24', width: 18, height: 18, class: 'icon-sign', 'aria-hidden': 'true' };
  for (const [key, value] of Object.entries(look)) svg.setAttribute(key, String(value));
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with words, and with a sign before them if one is named. */
export const button = (text, onclick, properties = {}, sign = '') =>
  el('button', { type: 'button', class: 'plain', onclick, ...properties }, sign && icon(sign), text);

/** A button with a sign; the label is its accessible name and its hint. */
export const iconButton = (sign, label, onclick, properties = {}) =>
  el(
    'button',
    { type: 'button', class: 'plain icon', 'aria-label': label, title: label, onclick, ...properties },
    icon(sign),
  );

const shownBy = new WeakMap();

/**
 * Draw a place anew if what it shows has changed, so that focus and what is being typed stay otherwise.
 *
 * @param {Element} host
 * @param {any} shows everything that the drawing depends on
 * @param {() => any[]} make
 */
export function redraw(host, shows, make) {
  const now = JSON.stringify([shows, locale()]);
  if (shownBy.get(host) === now) return;
  shownBy.set(host, now);
  const focused = focusIn(host);
  host.replaceChildren(...make().flat(3).filter(Boolean));
  if (focused) keepFocus(host, focused);
}

/** The element in a place that has the focus. @param {Element} host */
export const focusIn = (host) => (host.contains(document.activeElement) ? document.activeElement : null);

/**
 * Give the focus to what took the place of an element: what has its id or does the same, else what is near.
 *
 * @param {Element} host
 * @param {HTMLElement} gone
 */
export function keepFocus(host, gone) {
  const { id, dataset } = gone;
  const same = id ? document.getElementById(id) : dataset.act && host.querySelector(`[data-act="${dataset.act}"]`);
  const near = host.querySelector('button:enabled, input, select, textarea') ?? host.closest('[tabindex]');
  const next = same && !same.disabled ? same : (near ?? document.getElementById('talk'));
  next?.focus({ preventScroll: true });
}

/**
 * Make the children of a list match keys: known elements stay, others are made.
 *
 * @param {Element} host
 * @param {string[]} keys
 * @param {(key: string) => Element} make
 * @param {(element: Element, key: string) => void} update
 */
export function keyed(host, keys, make, update) {
  const known = new Map([...host.children].map((child) => [child.dataset.key, child]));
  const wanted = new Set(keys);
  for (const [key, child] of known) if (!wanted.has(key)) child.remove();
  let place = host.firstElementChild;
  for (const key of keys) {
    let child = known.get(key);
    if (!child) {
      child = make(key);
      child.dataset.key = key;
    }
    if (child === place) place = place.nextElementSibling;
    else host.insertBefore(child, place);
    update(child, key);
  }
}

export const isNarrow = () => matchMedia('(max-width: 800px)').matches;
export const isTouch = () => matchMedia('(pointer: coarse)').matches;
