// What people do with the messages of a conversation.

import { lastQuestion, alternatives, branch, byParent, endOf } from '../tree.js';
import { titleFrom } from '../history.js';
import { newId } from '../ids.js';
import { notice, setAttached, setEdit, setFollowing, state } from '../state.js';
import { t } from '../words.js';
import { begin, stopAnswer } from './answers.js';
import { attachedTo, filesToSend, isNothing, NOTHING } from './attachments.js';
import { choicesOf, modelOf, requestOf } from './choices.js';
import { changeConversation, currentConversation } from './conversations.js';
import { draftOf, keepDraft } from './drafts.js';
import { cannotSee } from './pictures.js';

/** @typedef {import('../tree.js').Message} Message */

/** The branch that was asked for last, and what it depends on. @type {{of: any[], path: Message[]}} */
const known = { of: [], path: [] };

/** The branch that is shown. */
export function shownPath() {
  const { current, written } = state;
  const messages = state.messages.get(current);
  const of = [current, messages, written, state.conversations.get(current)?.head];
  if (of.some((each, place) => each !== known.of[place])) {
    known.of = of;
    known.path = messages ? branch(messages, of[3]) : [];
  }
  return known.path;
}

/** The answer that is being written at the end of the branch that is shown. */
export const runningHere = () => {
  const last = shownPath().at(-1);
  return last?.end === 'running' ? last : undefined;
};

/**
 * Send a message. Returns whether it was sent.
 *
 * @param {string} text
 */
export function send(text) {
  const attached = attachedTo();
  if (runningHere() || (!text.trim() && isNothing(attached))) return false;
  const refusal = whyNot(attached);
  notice(refusal);
  if (refusal) return false;
  const typed = text.trim() ? text : t(attached.images.length ? 'box.describePicture' : 'box.describeFile');
  const path = shownPath();
  const sent = { images: attached.images, files: filesToSend(path) };
  setAttached(state.current, NOTHING);
  keepDraft('');
  ask(path.at(-1)?.id ?? null, { text: typed, ...filled(sent) });
  return true;
}

/** Why a message cannot be sent now, in words. */
function whyNot({ images }) {
  const { access } = state.site;
  if (access === '' || access === 'denied') return t(access ? 'box.needsKey' : 'box.notYet');
  return images.length && !modelOf()?.sees ? cannotSee() : '';
}

const filled = ({ images, files }) => ({ ...(images?.length ? { images } : {}), ...(files?.length ? { files } : {}) });

/** Add a question under a message, and the answer to it. */
function ask(parent, content) {
  const id = state.current;
  const now = Date.now();
  const question = { id: newId(), conversation: id, parent, role: 'user', at: now, ...content };
  const known = currentConversation();
  const title = titleFrom(question.text) || titleFrom(question.files?.[0]?.name ?? '');
  const fresh = known?.created ? {} : { created: now, ...choicesOf(id) };
  const titled = known?.named || (known?.title && parent) ? {} : { title };
  setFollowing(true);
  return begin(id, { ...fresh, ...titled }, [question, answerTo(question, now + 1)]);
}

/** @param {Message} question @param {number} at @returns {Message} */
function answerTo(question, at = Date.now()) {
  const { conversation, id } = question;
  return {
    id: newId(),
    conversation,
    parent: id,
    role: 'assistant',
    text: '',
    at,
    end: 'running',
    ask: requestOf(conversation),
  };
}

/** Have the last question answered once more. What was answered stays as an alternative. */
export function retry() {
  const question = lastQuestion(shownPath());
  if (!question || runningHere() || state.site.access === 'denied') return;
  setFollowing(true);
  begin(state.current, {}, [answerTo(question)]);
}

/** Ask the model to go on where its answer was cut. */
export function goOn() {
  const last = shownPath().at(-1);
  if (last && !runningHere()) ask(last.id, { text: t('message.goOn') });
}

/** Take back the last question and its answer. They stay as an alternative, and the question goes into an empty box. */
export async function takeBack() {
  const path = shownPath();
  const question = lastQuestion(path);
  if (!question || runningHere()) return;
  const id = state.current;
  const head = path.at(-1).id;
  const draft = draftOf();
  if (!draft.trim()) {
    keepDraft(question.text);
    setAttached(id, { ...NOTHING, images: question.images ?? [], kept: question.files ?? [] });
  }
  await changeConversation(id, { head: question.parent ?? null });
  notice(t('message.takenBack'), t('action.undo'), async () => {
    if (!draft.trim() && draftOf(id) === question.text) keepDraft('', id);
    await changeConversation(id, { head });
  });
}

export function stop() {
  const running = runningHere();
  if (running) stopAnswer(running.id);
  return !!running;
}

/** Begin to edit a question. @param {Message} message */
export const edit = (message) => setEdit(message.conversation, { message: message.id, text: message.text });

/** Send an edited question; the old one stays as an alternative. Returns whether it was sent. */
export function sendEdit(text) {
  const editing = state.ui.edits.get(state.current);
  const message = state.messages.get(state.current)?.get(editing?.message);
  if (!message || !text.trim() || runningHere()) return false;
  setEdit(state.current, null);
  if (text === message.text) return true;
  ask(message.parent, { text, ...filled(message) });
  return true;
}

export const cancelEdit = () => setEdit(state.current, null);

/** Show the alternative so many places before or after a message. @param {Message} message @param {number} step */
export function switchAlternative(message, step) {
  const children = byParent(state.messages.get(message.conversation));
  const all = alternatives(children, message);
  const other = all[all.findIndex((each) => each.id === message.id) + step];
  if (other) return changeConversation(message.conversation, { head: endOf(children, other.id) });
}
