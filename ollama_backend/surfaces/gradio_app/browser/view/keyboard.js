// Keys that work everywhere on the page. Needs a browser.

import { runningHere, stop } from '../chat/acts.js';
import { freshConversation } from '../chat/conversations.js';
import { state } from '../state.js';
import { isNarrow } from './dom.js';
import { focusBox, isComposing, isTyping } from './focus.js';
import { closeMenu } from './menu.js';
import { openSide } from './side.js';

/** @param {Window} window */
export function listenToKeys(window) {
  window.addEventListener('keydown', (event) => {
    if (isComposing(event) || document.querySelector('dialog[open]')) return;
    const isFresh = event.key.toLowerCase() === 'o' && event.shiftKey && (event.ctrlKey || event.metaKey);
    if (event.key === 'Escape') leave();
    else if (isFresh) {
      event.preventDefault();
      freshConversation().then(focusBox);
    } else if (event.key === '/' && !isTyping() && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      focusBox();
    }
  });
  window.addEventListener('pointerdown', (event) => {
    if (!event.target.closest('.menu, [aria-haspopup=menu]')) closeMenu();
    if (isNarrow() && state.ui.sideOpen && !event.target.closest('#side, #menu, dialog, .menu, #notice'))
      openSide(false);
  });
}

function leave() {
  if (closeMenu(true)) return;
  if (isNarrow() && state.ui.sideOpen) openSide(false);
  else if (runningHere()) {
    stop();
    focusBox();
  }
}
