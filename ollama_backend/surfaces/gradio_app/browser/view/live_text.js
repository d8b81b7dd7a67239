// Draws a growing text: finished blocks once, and its tail again and again. Needs a browser.

import { fragmentOf } from './html.js';

const LINES = 60; // of unfinished code in one box: the browser lays out only the last one again

/** @typedef {import('../live.js').LiveText} Text */

export class LiveTextView {
  #tail = document.createElement('div');
  #drawn = { restarts: -1, blocks: 0, tails: -1, appended: 0 };
  /** @type {string[]} */
  #blocks = [];

  /** @param {Element} host */
  constructor(host) {
    this.host = host;
    this.#tail.className = 'tail';
  }

  /** @param {Text} text */
  draw(text) {
    const drawn = this.#drawn;
    if (drawn.restarts !== text.restarts) {
      this.host.replaceChildren(this.#tail);
      this.#tail.replaceChildren();
      Object.assign(drawn, { restarts: text.restarts, blocks: 0, tails: -1, appended: 0 });
    }
    if (drawn.blocks < text.blocks.length) {
      const blocks = fragmentOf(text.blocks.slice(drawn.blocks).join(''));
      this.host.insertBefore(blocks, this.#tail);
      drawn.blocks = text.blocks.length;
      this.#blocks = text.blocks;
    }
    if (drawn.tails !== text.tails) {
      this.#tail.replaceChildren(fragmentOf(text.tail));
      Object.assign(drawn, { tails: text.tails, appended: 0 });
    }
    if (drawn.appended < text.appended.length) {
      const open = this.#tail.querySelectorAll('[data-open]');
      if (open.length) append(open[open.length - 1], text.appended.slice(drawn.appended));
      drawn.appended = text.appended.length;
    }
  }

  /** Show a text as it is, until its HTML is there. @param {string} text */
  showPlain(text) {
    const paragraph = document.createElement('p');
    Object.assign(paragraph, { className: 'raw', dir: 'auto', textContent: text });
    this.host.replaceChildren(paragraph);
    this.#drawn.restarts = -1;
  }

  /** Show the whole text. What of it is there already stays. @param {string[]} blocks */
  finish(blocks) {
    const { restarts, tails } = this.#drawn;
    const isSame = restarts >= 0 && this.#blocks.every((block, place) => block === blocks[place]);
    this.draw({
      text: '',
      restarts: isSame ? restarts : restarts + 1,
      blocks,
      tail: '',
      tails: tails + 1,
      appended: '',
    });
  }
}

/** Add text to the end of an element, in boxes of some lines. */
function append(element, text) {
  const parts = text.split(/(?<=\n)/);
  for (const part of parts) {
    let box = element.lastElementChild?.matches('.lines') ? element.lastElementChild : null;
    if (!box || Number(box.dataset.lines) >= LINES) {
      // What is before the first box may end within a line, which then goes on in the box.
      if (!box && !endsLine(element)) {
        element.append(part);
        continue;
      }
      box = document.createElement('span');
      box.className = 'lines';
      box.dataset.lines = '0';
      element.append(box);
    }
    box.append(part);
    if (part.endsWith('\n')) box.dataset.lines = String(Number(box.dataset.lines) + 1);
  }
}

const endsLine = (element) => !element.lastChild || element.textContent.endsWith('\n');
