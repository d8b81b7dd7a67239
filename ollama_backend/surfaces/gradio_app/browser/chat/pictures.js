// Pictures for models that see: made smaller here, kept in this browser, sent in the turn. Needs a browser.

import { newId } from '../ids.js';
import { state } from '../state.js';
import { loadPicture, storePicture } from '../storage/records.js';
import { t } from '../words.js';
import { modelOf, sameModel, shortName } from './choices.js';

const MAX_SIDE = 1280;
const MAX_BYTES = 5 * 2 ** 20;

/** The picture as a data URL, small enough to be sent. @param {Blob} file */
async function smaller(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const pen = canvas.getContext('2d');
  pen.fillStyle = '#fff';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.toDataURL('image/jpeg', 0.85);
}

/** Keep a picture and return its id. Throws where the browser cannot read it. @param {Blob} file */
export async function keepPicture(file) {
  const id = newId();
  await storePicture(id, await smaller(file));
  return id;
}

/** The data URL of a picture, empty where it is not kept any more. @param {string} id */
export async function pictureUrl(id) {
  const url = await loadPicture(id).catch(() => '');
  return typeof url === 'string' && url.startsWith('data:image/') ? url : '';
}

/** Why a model is not sent a picture. */
export function cannotSee() {
  const model = shortName(modelOf()?.name ?? state.site.model);
  const seeing = state.site.models.filter((each) => each.sees).map((each) => shortName(each.name));
  return seeing.length ? t('model.cannotSee', { model, models: seeing.join(', ') }) : t('model.noneSees', { model });
}

/**
 * Messages with the pictures themselves: the latest first, as many as the server takes in one request.
 *
 * @param {{role: string, content: string, images?: string[]}[]} messages
 * @param {string} [model] a model that cannot see is sent none
 */
export async function withPictures(messages, model) {
  const sees = state.site.models.find((each) => sameModel(each.name, model ?? state.site.model))?.sees;
  let room = MAX_BYTES;
  const sent = [];
  for (const { images = [], ...message } of [...messages].reverse()) {
    const codes = [];
    for (const id of sees ? images : []) {
      const code = (await pictureUrl(id)).split(',')[1] ?? '';
      if (!code || code.length > room) continue;
      room -= code.length;
      codes.push(code);
    }
    sent.unshift(codes.length ? { ...message, images: codes } : message);
  }
  return sent;
}
