// Puts HTML of the server's renderer into the page, and adds what belongs to code, formulas and links. The only module
// that inserts HTML. Needs a browser.

import { notice } from '../state.js';
import { t } from '../words.js';
import { copyText } from './clipboard.js';
import { el, icon } from './dom.js';
import { drawFormulas } from './formulas.js';

const COPIED_FOR = 2000;

/** @param {string} html from the server's renderer */
export function fragmentOf(html) {
  const template = document.createElement('template');
  template.innerHTML = html;
  const { content } = template;
  for (const code of content.querySelectorAll('.code')) addBar(code);
  drawFormulas(content);
  return content;
}

/** The language of a block of code, and buttons to wrap and to copy it. */
function addBar(code) {
  const bar = el(
    'div',
    { class: 'code-bar' },
    el('span', {}, code.dataset.language ?? t('code.plain')),
    el(
      'button',
      { type: 'button', class: 'plain', 'data-act': 'wrap', 'aria-pressed': 'false' },
      icon('wrap'),
      t('code.wrap'),
    ),
    el(
      'button',
      { type: 'button', class: 'plain', 'data-act': 'copy' },
      icon('copy'),
      el('span', {}, t('action.copy')),
    ),
  );
  code.prepend(bar);
  code.querySelector('pre')?.setAttribute('tabindex', '0');
}

/** @param {Element} root listens for the buttons of code, and keeps links from leading anywhere but out */
export function listenToHtml(root) {
  root.addEventListener('click', (event) => {
    const pressed = event.target.closest('.code-bar button');
    if (pressed) actOn(pressed);
    const link = event.target.closest('.text a[href]');
    if (link && !isOutward(link) && !isNote(link)) event.preventDefault();
  });
}

const isOutward = (link) => /^(https?:|mailto:)/i.test(link.getAttribute('href').trim());
const isNote = (link) => /^#[tcb][0-9a-f]+-(?:note|ref)-\d+$/.test(link.getAttribute('href'));

async function actOn(pressed) {
  const block = pressed.closest('.code');
  if (pressed.dataset.act === 'wrap') {
    pressed.setAttribute('aria-pressed', String(block.classList.toggle('wrapped')));
    return;
  }
  copyAndSay(block.querySelector('code').textContent, pressed.lastElementChild);
}

/** Copy a text and say so on the button, or why not. @param {string} text @param {Node} words of the button */
export async function copyAndSay(text, words) {
  if (await copyText(text)) flash(words, t('action.copied'), t('action.copy'));
  else notice(t('action.copyFailed'));
}

/** Show another text for some seconds. */
export function flash(element, text, usual) {
  element.textContent = text;
  setTimeout(() => {
    element.textContent = usual;
  }, COPIED_FOR);
}
