// A menu under a button, with the keys that people expect of one. Needs a browser.

import { direction } from '../words.js';
import { el, icon } from './dom.js';

let open = null;

/** Close the menu that is open. */
export function closeMenu(focus = false) {
  if (!open) return false;
  const { menu, opener } = open;
  open = null;
  menu.remove();
  opener.setAttribute('aria-expanded', 'false');
  if (focus) opener.focus();
  return true;
}

/**
 * Open a menu at a button, or close it if it is open.
 *
 * @param {HTMLElement} opener
 * @param {{text: string, sign: string, act: () => void, id?: string}[]} items
 */
export function toggleMenu(opener, items) {
  const isOpen = open?.opener === opener;
  closeMenu();
  if (isOpen) return;
  const menu = el('div', { class: 'menu', role: 'menu', 'aria-label': opener.getAttribute('aria-label') });
  for (const { text, sign, act, id } of items) {
    const choose = () => {
      closeMenu(true);
      act();
    };
    menu.append(
      el(
        'button',
        { type: 'button', class: 'plain', role: 'menuitem', tabindex: '-1', id, onclick: choose },
        icon(sign),
        text,
      ),
    );
  }
  menu.addEventListener('keydown', keyed);
  menu.addEventListener(
    'focusout',
    (event) => menu.contains(event.relatedTarget) || event.relatedTarget === opener || closeMenu(),
  );
  opener.setAttribute('aria-expanded', 'true');
  document.body.append(menu);
  place(menu, opener.getBoundingClientRect());
  open = { menu, opener };
  menu.firstElementChild?.focus();
}

function place(menu, at) {
  const { width, height } = menu.getBoundingClientRect();
  const isRight = direction() === 'rtl' ? at.left : at.right - width;
  menu.style.left = `${Math.max(8, Math.min(innerWidth - width - 8, isRight))}px`;
  menu.style.top = `${at.bottom + height + 8 > innerHeight ? Math.max(8, at.top - height - 4) : at.bottom + 4}px`;
}

function keyed(event) {
  const items = [...event.currentTarget.children];
  const at = items.indexOf(document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (next !== undefined) {
    event.preventDefault();
    items.at(next % items.length)?.focus();
  } else if (event.key === 'Escape') {
    event.stopPropagation();
    closeMenu(true);
  } else if (event.key === 'Tab') closeMenu(true);
}
