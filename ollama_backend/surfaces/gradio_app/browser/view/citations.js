// Citations of attached files in an answer: each opens the page or file that it names. Needs a browser.

import { citedText } from '../files/compose.js';
import { splitCitations } from '../files/citations.js';
import { t } from '../words.js';
import { openDialog } from './dialog.js';
import { el } from './dom.js';

/** Make buttons of the citations in a text. @param {Element} host @param {import('../tree.js').Attachment[]} files */
export function linkCitations(host, files) {
  const names = files.map((file) => file.name);
  if (!names.length) return;
  const texts = document.createTreeWalker(host, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const node = texts.currentNode;
    if (node.data.includes('[') && !node.parentElement.closest('pre, code, .formula, a')) found.push(node);
  }
  for (const node of found) {
    const parts = splitCitations(node.data, names);
    if (parts.some((part) => typeof part !== 'string')) node.replaceWith(...parts.map((part) => partOf(part, files)));
  }
}

function partOf(part, files) {
  if (typeof part === 'string') return part;
  const text = citedText(files, part);
  if (text === null) return part.text;
  const title = part.page === null ? part.file : t('file.citation', { name: part.file, page: part.page });
  const open = () =>
    openDialog('cited', title, () => [el('pre', { class: 'cited', dir: 'auto', tabindex: '0' }, text)]);
  return el('button', { type: 'button', class: 'citation', onclick: open }, part.text);
}
