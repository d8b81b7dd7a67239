// Reads single entries of a ZIP archive, with limits against archives that unpack to far more than they are.

/** What an entry may unpack to, in bytes, and as a multiple of its packed size. */
export const LIMITS = { bytes: 32 * 2 ** 20, ratio: 200, entries: 5000 };

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const ENCRYPTED = 1;
const SMALL = 64 * 1024; // below this the ratio says nothing: repetitive XML packs well

/** An archive that cannot be read; `reason` is the last part of a key of the words `file.refused.…`. */
export class ZipError extends Error {
  /** @param {'damaged' | 'encrypted' | 'expands'} reason */
  constructor(reason) {
    super(reason);
    this.name = 'ZipError';
    this.reason = reason;
  }
}

/**
 * @typedef {object} Entry
 * @property {string} name
 * @property {number} method 0 is stored, 8 is deflated
 * @property {number} flags
 * @property {number} packed size in the archive
 * @property {number} size size that the archive claims; never trusted
 * @property {number} offset of the local header
 */

/**
 * The entries of an archive by name.
 *
 * @param {Uint8Array} bytes
 * @returns {Map<string, Entry>}
 * @throws {ZipError}
 */
export function entriesOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = endOf(view);
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  /** @type {Map<string, Entry>} */
  const entries = new Map();
  for (let i = 0; i < Math.min(count, LIMITS.entries); i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== CENTRAL) throw new ZipError('damaged');
    const nameLength = view.getUint16(at + 28, true);
    const entry = {
      name: new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength)),
      flags: view.getUint16(at + 8, true),
      method: view.getUint16(at + 10, true),
      packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
    };
    if (!entries.has(entry.name)) entries.set(entry.name, entry);
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return entries;
}

/** @param {DataView} view */
function endOf(view) {
  const first = Math.max(0, view.byteLength - 22 - 0xffff);
  for (let at = view.byteLength - 22; at >= first; at--) {
    if (view.getUint32(at, true) === END) return at;
  }
  throw new ZipError('damaged');
}

/**
 * The content of an entry. Unpacking stops as soon as a limit is passed.
 *
 * @param {Uint8Array} bytes the archive
 * @param {Entry} entry
 * @param {{bytes: number, ratio: number}} [limits]
 * @returns {Promise<Uint8Array>}
 * @throws {ZipError}
 */
export async function unpack(bytes, entry, limits = LIMITS) {
  if (entry.flags & ENCRYPTED) throw new ZipError('encrypted');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (entry.offset + 30 > bytes.length || view.getUint32(entry.offset, true) !== LOCAL) throw new ZipError('damaged');
  const start = entry.offset + 30 + view.getUint16(entry.offset + 26, true) + view.getUint16(entry.offset + 28, true);
  if (start + entry.packed > bytes.length) throw new ZipError('damaged');
  const packed = bytes.subarray(start, start + entry.packed);
  const most = Math.min(limits.bytes, Math.max(SMALL, packed.length * limits.ratio));
  if (entry.method !== 0 && entry.method !== 8) throw new ZipError('damaged');
  if (entry.method === 8) return inflate(packed, most);
  if (packed.length > most) throw new ZipError('expands');
  return packed;
}

/** @param {Uint8Array} packed @param {number} most */
async function inflate(packed, most) {
  const reader = new Blob([/** @type {BlobPart} */ (packed)])
    .stream()
    .pipeThrough(new DecompressionStream('deflate-raw'))
    .getReader();
  const parts = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      if (size > most) throw new ZipError('expands');
      parts.push(value);
    }
  } catch (error) {
    throw error instanceof ZipError ? error : new ZipError('damaged');
  } finally {
    reader.cancel().catch(() => {});
  }
  return joined(parts, size);
}

/** @param {Uint8Array[]} parts @param {number} size */
function joined(parts, size) {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
