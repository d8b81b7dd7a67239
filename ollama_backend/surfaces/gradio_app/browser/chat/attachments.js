// Files and pictures that go with a message: attached, pasted or dropped.

import { notice, setAttached, state } from '../state.js';
import { t } from '../words.js';
import { modelOf } from './choices.js';
import { cannotSee, keepPicture, MOST_PICTURES } from './pictures.js';

const attachedTo = (id) => state.ui.attached.get(id) ?? { images: [], files: [] };

/** @param {File[]} files */
export async function attach(files) {
  const id = state.current;
  for (const file of files) {
    if (!file.type.startsWith('image/')) continue;
    if (!modelOf(id)?.sees) {
      notice(cannotSee());
      return;
    }
    await attachPicture(id, file);
  }
}

async function attachPicture(id, file) {
  if (attachedTo(id).images.length >= MOST_PICTURES) {
    notice(t('file.refused.tooManyPictures', { count: MOST_PICTURES }));
    return;
  }
  try {
    const picture = await keepPicture(file);
    setAttached(id, { ...attachedTo(id), images: [...attachedTo(id).images, picture] });
  } catch {
    notice(t('file.refused.picture', { name: file.name }));
  }
}

/** Long pasted text becomes a file. Returns whether it did. @param {string} text */
export function pasteAsFile(text) {
  return text.length < 0;
}

/** The text of a message with its files. @param {import('../tree.js').Message} message */
export function wrapFiles(message) {
  return message.text;
}
