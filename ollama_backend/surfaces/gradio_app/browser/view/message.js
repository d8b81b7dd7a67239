// One message of the conversation that is shown. Needs a browser.

import { edit, goOn, retry, switchAlternative, takeBack } from '../chat/acts.js';
import { filesBefore } from '../chat/attachments.js';
import { state } from '../state.js';
import { locale, t } from '../words.js';
import { canRead, toggleReading } from './aloud.js';
import { button, el, icon, iconButton, redraw } from './dom.js';
import { editForm } from './edit_form.js';
import { figuresOf, outcomeOf } from './figures.js';
import { linkCitations } from './citations.js';
import { copyAndSay } from './html.js';
import { linkParts } from './links.js';
import { LiveTextView } from './live_text.js';
import { fileChips, thumbnail } from './media.js';

/** @typedef {import('../tree.js').Message} Message @typedef {import('../live.js').Live} Live */
/**
 * Where a message stands.
 *
 * @typedef {{isLast: boolean, isBusy: boolean, isRead: boolean, place: number, count: number}} Context
 */

const isBad = ({ end }) => end === 'failed' || end === 'interrupted';

export class MessageView {
  #heading = el('h2', { class: 'sr' });
  #body = el('div', { class: 'body' });
  #foot = el('div', { class: 'foot' });
  /** What was drawn. @type {any[]} */
  #shown = [];
  #html;
  /** @type {LiveTextView | null} */
  #text = null;
  /** @type {LiveTextView | null} */
  #thought = null;
  /** @type {HTMLDetailsElement | null} */
  #thinking = null;

  /** @param {Message} message */
  constructor(message) {
    this.message = message;
    this.element = el(
      'li',
      { class: `message ${message.role}`, tabindex: '-1' },
      this.#heading,
      this.#body,
      this.#foot,
    );
  }

  /** @param {Message} message @param {Context} context */
  update(message, context) {
    const editing = message.role === 'user' && state.ui.edits.get(message.conversation)?.message === message.id;
    const { isLast, isBusy, isRead, place, count } = context;
    const shows = [message, editing, locale(), isLast, isBusy, isRead, place, count];
    if (shows.every((each, number) => each === this.#shown[number])) return;
    const isSame = message === this.message && editing === this.#shown[1] && locale() === this.#shown[2];
    this.#shown = shows;
    this.message = message;
    this.#heading.textContent = message.role === 'user' ? t('message.you') : message.model || t('message.assistant');
    if (message.role === 'user' && !isSame) this.#drawQuestion(editing);
    if (message.role === 'assistant') this.drawHtml(!isSame);
    this.#drawFoot(context, editing);
  }

  /** Draw a finished answer if its HTML is another than what is shown. */
  drawHtml(always = false) {
    const html = state.html.get(this.message.id);
    if (this.message.role === 'user' || this.message.end === 'running' || (html === this.#html && !always)) return;
    this.#html = html;
    this.#drawAnswer(html);
  }

  #drawQuestion(editing) {
    const { message } = this;
    if (editing) {
      this.#body.replaceChildren(editForm(message));
      return;
    }
    const images = (message.images ?? []).map((id) => thumbnail(id));
    const typed = linkParts(message.text).map((part) =>
      typeof part === 'string'
        ? part
        : el('a', { href: part.href, target: '_blank', rel: 'noopener noreferrer nofollow' }, part.href),
    );
    this.#body.replaceChildren(el('div', { class: 'text typed', dir: 'auto' }, typed));
    if (images.length || message.files?.length)
      this.#body.append(el('div', { class: 'media' }, fileChips(message.files), images));
  }

  /** Draw a finished answer. @param {{thinking: string[], content: string[]} | undefined} html */
  #drawAnswer(html) {
    const { text, thinking = '', thought } = this.message;
    if (!this.#text) this.#prepare();
    this.element.setAttribute('aria-busy', 'false');
    this.#showThinking(!!thinking);
    if (text) this.#closeThinking();
    if (thinking) this.#summary(thought >= 0.1 ? t('message.thoughtFor', { seconds: thought }) : t('message.thought'));
    if (html) {
      this.#text.finish(html.content);
      linkCitations(this.#text.host, filesBefore(this.message));
      this.#fold(() => this.#thought.finish(html.thinking));
    } else {
      this.#text.showPlain(text);
      this.#fold(() => this.#thought.showPlain(thinking));
    }
  }

  #prepare() {
    const text = el('div', { class: 'text' });
    const thought = el('div', { class: 'text' });
    this.#thinking = el('details', { class: 'thinking' }, el('summary', {}, icon('open'), el('span')), thought);
    this.#thinking.addEventListener('toggle', () => this.#unfold?.());
    this.#body.replaceChildren(this.#thinking, text);
    this.#text = new LiveTextView(text);
    this.#thought = new LiveTextView(thought);
  }

  /** Thinking that nobody looks at is drawn when it is opened. */
  #unfold = null;

  #fold(draw) {
    this.#unfold = () => this.#thinking.open && draw();
    this.#unfold();
  }

  /** Fold the thinking as soon as the answer itself comes; whoever opens it then keeps it open. */
  #closeThinking() {
    if (this.#thinking.dataset.folded !== undefined) return;
    this.#thinking.dataset.folded = '';
    this.#thinking.open = false;
  }

  #showThinking(shown) {
    this.#thinking.hidden = !shown;
  }

  #summary(words) {
    const span = this.#thinking.firstElementChild.lastElementChild;
    if (span.textContent !== words) span.textContent = words;
  }

  /** Draw what has come of an answer. @param {Live} live */
  drawLive(live) {
    if (!this.#text) {
      this.#prepare();
      this.element.setAttribute('aria-busy', 'true');
      this.#thinking.open = true;
    }
    const hasThought = live.thinking.text !== '';
    this.#showThinking(hasThought);
    if (live.content.text) this.#closeThinking();
    if (hasThought) {
      const seconds = live.thought ?? (live.firstAt ? (Date.now() - live.firstAt) / 1000 : undefined);
      const key = live.content.text ? 'message.thoughtFor' : 'message.thinkingFor';
      this.#summary(seconds === undefined ? t('state.thinking') : t(key, { seconds: Math.round(seconds) }));
      this.#fold(() => this.#thought.draw(state.live.get(live.id)?.thinking ?? live.thinking));
    }
    this.#text.draw(live.content);
    // What an earlier page has kept is shown as text until the server sends all of it.
    if (live.state === 'sending') this.#showKept(live);
  }

  #showKept(live) {
    if (live.content.text) this.#text.showPlain(live.content.text);
    if (live.thinking.text) this.#thought.showPlain(live.thinking.text);
  }

  /** @param {Context} context @param {boolean} editing */
  #drawFoot(context, editing) {
    const { message } = this;
    const { end, error, stats, model, context: size, files } = message;
    redraw(this.#foot, [context, editing, end, error, stats, model, size, files?.length], () => {
      if (end === 'running') return [];
      const { place, count, isLast } = context;
      return [
        message.role === 'assistant' && this.#outcome(isLast),
        el('div', { class: 'acts' }, count > 1 && this.#alternatives(place, count), !editing && this.#buttons(context)),
      ];
    });
  }

  #outcome(isLast) {
    const { message } = this;
    const words = outcomeOf(message);
    const figures = figuresOf(message);
    const isWrong = isBad(message);
    const isCut = message.stats?.reason === 'length' && message.end === 'done';
    const help =
      isLast &&
      (isWrong
        ? button(t('message.retry'), retry, { 'data-act': 'retry' }, 'again')
        : isCut && button(t('message.continue'), goOn, {}, 'down'));
    return [
      words &&
        el('p', { class: isWrong ? 'outcome bad' : 'outcome', role: isWrong && isLast ? 'alert' : null }, words, help),
      figures && el('p', { class: 'quiet figures' }, figures),
    ];
  }

  #alternatives(place, count) {
    const { message } = this;
    return el(
      'div',
      { class: 'alternatives', role: 'group', 'aria-label': t('message.alternative', { number: place, count }) },
      iconButton('back', t('message.previous'), () => switchAlternative(message, -1), {
        disabled: place === 1,
        class: 'plain icon before',
        'data-act': 'before',
      }),
      el('span', {}, `${place}/${count}`),
      iconButton('forward', t('message.next'), () => switchAlternative(message, 1), {
        disabled: place === count,
        class: 'plain icon after',
        'data-act': 'after',
      }),
    );
  }

  /** @param {Context} context */
  #buttons({ isLast, isBusy, isRead }) {
    const { message } = this;
    const copy = button(
      t('action.copy'),
      () => copyAndSay(this.message.text, copy.lastChild),
      { 'data-act': 'copy' },
      'copy',
    );
    if (message.role === 'user')
      return [copy, !isBusy && button(t('message.edit'), () => edit(message), { 'data-act': 'edit' }, 'pen')];
    const free = isLast && !isBusy;
    return [
      message.text && copy,
      message.text && canRead() && this.#readButton(isRead),
      free && !isBad(message) && button(t('message.retry'), retry, { 'data-act': 'retry' }, 'again'),
      free && button(t('message.undo'), takeBack, { 'data-act': 'take-back' }, 'undo'),
    ];
  }

  #readButton(isRead) {
    const words = t(isRead ? 'message.stopReading' : 'message.readAloud');
    return button(words, () => toggleReading(this.message), { 'data-act': 'read' }, isRead ? 'stop' : 'speak');
  }
}
