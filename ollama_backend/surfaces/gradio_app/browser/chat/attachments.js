// Files and pictures that go with a message: attached, pasted or dropped, and what they cost.

import { contentsOf } from '../files/compose.js';
import { freeTokens } from '../files/budget.js';
import { planOf, stored } from '../files/plan.js';
import { fromPaste, LIMITS, readFiles } from '../files/read.js';
import { request } from '../server/api.js';
import { notice, setAttached, state } from '../state.js';
import { deletePictures } from '../storage/records.js';
import { branch } from '../tree.js';
import { t } from '../words.js';
import { choicesOf, modelOf } from './choices.js';
import { contextOf, learntOf } from './learning.js';
import { cannotSee, keepPicture } from './pictures.js';

/** @typedef {import('../tree.js').Message} Message @typedef {import('../files/plan.js').Selection} Selection */

/** Nothing is attached. `kept` are files of a message that was taken back. */
export const NOTHING = { images: [], files: [], kept: [] };

/** What is attached to the next message of a conversation. */
export const attachedTo = (id = state.current) => state.ui.attached.get(id) ?? NOTHING;

export const isNothing = ({ images, files, kept }) => !images.length && !files.length && !kept.length;

const change = (id, more) => setAttached(id, { ...attachedTo(id), ...more });

const sendPdf = (pdf) => request('page/pdf-text', { method: 'POST', body: pdf });

/** Read files and attach what can be read; the rest is refused by name. @param {File[]} sources */
export async function attach(sources) {
  const id = state.current;
  notice(sources.length === 1 ? t('file.reading', { name: sources[0].name }) : '');
  const { files, pictures, refused } = await readFiles(sources, { sendPdf, attached: attachedTo(id).files.length });
  const refusals = refused.map(({ key, values }) => t(key, values));
  for (const picture of pictures) refusals.push(await attachPicture(id, picture));
  change(id, { files: [...attachedTo(id).files, ...files.map((file) => ({ file }))] });
  notice([...new Set(refusals.filter(Boolean))].join(' '));
}

/** Returns why a picture cannot be attached, or nothing. */
async function attachPicture(id, picture) {
  if (!modelOf(id)?.sees) return cannotSee();
  const count = LIMITS.pictures;
  if (attachedTo(id).images.length >= count) return t('file.refused.tooManyPictures', { count });
  try {
    const kept = await keepPicture(picture);
    change(id, { images: [...attachedTo(id).images, kept] });
    return '';
  } catch {
    return t('file.refused.picture', { name: picture.name });
  }
}

/** Long pasted text becomes a file. Returns whether it did. @param {string} text */
export function pasteAsFile(text) {
  const file = fromPaste(text, t('file.pasted'));
  if (file) change(state.current, { files: [...attachedTo().files, { file }] });
  return file !== null;
}

export function detachFile(place) {
  change(state.current, { files: attachedTo().files.filter((_, number) => number !== place) });
}

export function detachKept(place) {
  change(state.current, { kept: attachedTo().kept.filter((_, number) => number !== place) });
}

export function detachPicture(picture) {
  change(state.current, { images: attachedTo().images.filter((each) => each !== picture) });
  deletePictures([picture]);
}

/** Choose what of a file is sent. @param {number} place @param {Selection} selection */
export function selectPart(place, selection) {
  const files = attachedTo().files.map((each, number) => (number === place ? { ...each, selection } : each));
  change(state.current, { files });
}

/** What the attached files cost in the conversation that is shown. @param {Message[]} path */
export function planHere(path) {
  const { ratio, speeds } = learntOf(modelOf()?.name);
  const history = contentsOf(path, { context: contextOf(path), ratio }).join('\n');
  const { system = '' } = choicesOf();
  const free = freeTokens({ context: contextOf(path), system, history, thinks: !!modelOf()?.thinks, ratio });
  return planOf(attachedTo().files, { free, ratio, speeds });
}

/** The attached files as their message keeps them. @param {Message[]} path */
export function filesToSend(path) {
  const planned = planHere(path).files.map((each) => stored(each, learntOf(modelOf()?.name).ratio));
  return [...attachedTo().kept, ...planned];
}

/**
 * The text of each message of a branch with its files.
 *
 * @param {Message[]} path
 * @returns {(message: Message) => string}
 */
export function wrapperFor(path, model) {
  const contents = contentsOf(path, { context: contextOf(path), ratio: learntOf(model).ratio });
  const byId = new Map(path.map((message, place) => [message.id, contents[place]]));
  return (message) => byId.get(message.id) ?? message.text;
}

/** The files of all messages up to one. @param {Message} message */
export const filesBefore = (message) =>
  branch(state.messages.get(message.conversation) ?? new Map(), message.id).flatMap((each) => each.files ?? []);
