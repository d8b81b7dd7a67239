// Pictures and files of messages. Needs a browser.

import { pictureUrl } from '../chat/pictures.js';
import { t } from '../words.js';
import { el, icon, iconButton } from './dom.js';

/** A small picture that opens large. @param {string} id @param {(() => void) | null} remove */
export function thumbnail(id, remove = null) {
  const image = el('img', { alt: t('message.picture'), class: 'thumbnail' });
  const enlarge = el(
    'button',
    { type: 'button', class: 'enlarge', 'aria-label': t('message.enlarge'), onclick: () => show(image.src) },
    image,
  );
  load();
  async function load() {
    const url = await pictureUrl(id);
    if (url) image.src = url;
    else enlarge.replaceWith(el('span', { class: 'quiet' }, t('message.pictureLost')));
  }
  return el('span', { class: 'picture' }, enlarge, remove && iconButton('close', t('message.removePicture'), remove));
}

function show(src) {
  const close = iconButton('close', t('action.close'), () => dialog.close());
  const dialog = el(
    'dialog',
    { class: 'large-picture', 'aria-label': t('message.picture'), onclose: () => dialog.remove() },
    close,
    el('img', { src, alt: t('message.picture') }),
  );
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

/** The files of a message, each opening its text. @param {import('../tree.js').Attachment[]} [files] */
export function fileChips(files = []) {
  return files.map((file) =>
    el(
      'details',
      { class: 'file' },
      el('summary', {}, icon('file'), el('bdi', {}, file.name), file.note && el('small', {}, file.note)),
      el('pre', { tabindex: '0', dir: 'auto' }, file.text),
    ),
  );
}
