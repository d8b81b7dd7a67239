// Pictures for models that see: made smaller here, kept in IndexedDB, sent in the turn, never uploaded as a file.
const LONGEST_SIDE = 1280, MOST_BYTES = 5 * 2 ** 20, MOST_PICTURES = 8;
const inMemory = new Map();
let attached = [];

const database = () => new Promise((resolve, reject) => {
  const asked = indexedDB.open('chat', 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore('pictures');
  asked.onsuccess = () => resolve(asked.result);
  asked.onerror = () => reject(asked.error);
});
async function pictures(mode, act) {
  const db = await database();
  try {
    return await new Promise((resolve, reject) => {
      const deal = db.transaction('pictures', mode), asked = act(deal.objectStore('pictures'));
      deal.oncomplete = () => resolve(asked?.result);
      deal.onerror = deal.onabort = () => reject(deal.error);
    });
  } finally { db.close() }
}
async function keepPicture(url) {
  const id = newId();
  inMemory.set(id, url);
  try { await pictures('readwrite', store => store.put(url, id)) } catch { /* denied or full: for this tab only */ }
  return id;
}
async function pictureUrl(id) {
  if (!inMemory.has(id)) {
    try { inMemory.set(id, await pictures('readonly', store => store.get(id)) ?? '') } catch { inMemory.set(id, '') }
  }
  return inMemory.get(id);
}
function forgetPictures(messages) {
  const ids = messages.flatMap(m => m.images ?? []);
  if (!ids.length) return;
  for (const id of ids) inMemory.delete(id);
  pictures('readwrite', store => ids.map(id => store.delete(id)) && undefined).catch(() => {});
}

async function smaller(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = el('canvas', {width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale))});
  const pen = canvas.getContext('2d');
  pen.fillStyle = '#fff';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.toDataURL('image/jpeg', 0.85);
}
async function attach(files) {
  const images = [...files].filter(file => file.type.startsWith('image/'));
  if (!images.length) return;
  if (!modelNow()?.sees) return notify(cannotSee());
  for (const file of images) {
    if (attached.length >= MOST_PICTURES) { notify(`No more than ${MOST_PICTURES} pictures fit into one message.`); break }
    try { attached = [...attached, await keepPicture(await smaller(file))] } catch { notify(`“${visible(file.name)}” is not a picture that this browser can read.`) }
  }
  drawAll();
}
function cannotSee() {
  const seeing = site.models.filter(m => m.sees).map(m => m.name.replace(/:latest$/, ''));
  return `${modelNow()?.name.replace(/:latest$/, '') ?? 'This model'} cannot see pictures. ` + (seeing.length ? `Choose one that can: ${seeing.join(', ')}.` : 'No model that can is installed here.');
}

// The latest pictures first, as many as the server takes in one request.
async function withPictures(messages) {
  if (!modelNow()?.sees) return messages.map(({images, ...m}) => m);
  let room = MOST_BYTES;
  const out = [];
  for (const {images, ...m} of [...messages].reverse()) {
    const sent = [];
    for (const id of images ?? []) {
      const code = (await pictureUrl(id)).split(',')[1] ?? '';
      if (code && code.length <= room) { room -= code.length; sent.push(code) }
    }
    out.unshift(sent.length ? {...m, images: sent} : m);
  }
  return out;
}

function thumbnail(id, remove) {
  const image = el('img', {alt: 'Attached picture', class: 'thumbnail'});
  pictureUrl(id).then(url => { if (url.startsWith('data:image/')) image.src = url; else image.replaceWith(el('span', {class: 'quiet'}, 'A picture that is not kept any more')) });
  return el('span', {class: 'picture'}, image, remove && iconButton('close', 'Remove the picture', remove));
}
drawers.attach = host => redraw(host, [!!modelNow()?.sees], () => {
  if (!modelNow()?.sees) return [];
  const picker = el('input', {type: 'file', accept: 'image/*', multiple: true, hidden: true, id: 'picture-file', onchange: () => { attach(picker.files); picker.value = '' }});
  return [picker, iconButton('image', 'Attach a picture', () => picker.click(), {id: 'attach-button'})];
});
document.addEventListener('paste', event => { if (event.clipboardData?.files.length) attach(event.clipboardData.files) });
document.addEventListener('dragover', event => { if (event.dataTransfer?.types.includes('Files')) event.preventDefault() });
document.addEventListener('drop', event => {
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  attach(event.dataTransfer.files);
});
