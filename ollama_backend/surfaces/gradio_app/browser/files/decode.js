// Bytes to text, judged by content: a file's name and type say nothing reliable.

/** The part of a file that is searched for NUL bytes and signatures. */
const HEAD = 8192;

/** Control characters beyond this share of the head mean that a file without a known encoding is no text. */
const CONTROL_SHARE = 0.02;

/**
 * Signatures at the start of a file; the first that matches decides, null stands for any byte.
 *
 * @type {[Kind, (number | null)[]][]}
 */
const SIGNATURES = [
  ['zip', [0x50, 0x4b, 0x03, 0x04]],
  ['zip', [0x50, 0x4b, 0x05, 0x06]], // an empty archive
  ['picture', [0x89, 0x50, 0x4e, 0x47]],
  ['picture', [0xff, 0xd8, 0xff]],
  ['picture', [0x47, 0x49, 0x46, 0x38]],
  ['picture', [0x42, 0x4d, null, null, null, null, 0, 0, 0, 0]], // BMP: reserved bytes are zero
  ['picture', [0x52, 0x49, 0x46, 0x46, null, null, null, null, 0x57, 0x45, 0x42, 0x50]],
  ['picture', [null, null, null, null, 0x66, 0x74, 0x79, 0x70, 0x61, 0x76, 0x69]],
  ['picture', [null, null, null, null, 0x66, 0x74, 0x79, 0x70, 0x68, 0x65, 0x69]],
  ['oldOffice', [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]],
  ['rtf', [0x7b, 0x5c, 0x72, 0x74, 0x66]],
];

/**
 * What a file is by its first bytes. A PDF may begin with up to a kilobyte of something else.
 *
 * @typedef {'text' | 'pdf' | 'zip' | 'picture' | 'oldOffice' | 'rtf' | 'binary'} Kind
 * @param {Uint8Array} bytes
 * @returns {Kind}
 */
export function kindOf(bytes) {
  for (const [kind, signature] of SIGNATURES) {
    if (signature.every((byte, i) => byte === null || bytes[i] === byte)) return kind;
  }
  if (indexOf(bytes.subarray(0, 1024), '%PDF-') >= 0) return 'pdf';
  return decodeText(bytes.subarray(0, HEAD), true) === null ? 'binary' : 'text';
}

/**
 * The text of a file: UTF-8, UTF-16 by its byte order mark, else windows-1252. Null where it is no text.
 * Line ends become `\n`.
 *
 * @param {Uint8Array} bytes
 * @param {boolean} [isHead] whether the bytes are only the start of a file: a character may be cut at the end
 * @returns {string | null}
 */
export function decodeText(bytes, isHead = false) {
  const encoding = encodingOf(bytes, isHead);
  if (!encoding) return null;
  const text = new TextDecoder(encoding).decode(bytes).replace(/\r\n?/g, '\n');
  return encoding !== 'utf-8' && isUnreadable(text.slice(0, HEAD)) ? null : text;
}

/** @param {Uint8Array} bytes @param {boolean} isHead @returns {string | null} */
function encodingOf(bytes, isHead) {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  if (bytes.subarray(0, HEAD).includes(0)) return null;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: isHead });
    return 'utf-8';
  } catch {
    return 'windows-1252';
  }
}

/** @param {string} text */
function isUnreadable(text) {
  let controls = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0) return true;
    if (code < 32 ? code < 7 || (code > 13 && code !== 27) : code === 127 || code === 0xfffd) controls++;
  }
  return controls > text.length * CONTROL_SHARE;
}

/** @param {Uint8Array} bytes @param {string} ascii */
function indexOf(bytes, ascii) {
  const wanted = [...ascii].map((letter) => letter.charCodeAt(0));
  for (let at = 0; at + wanted.length <= bytes.length; at++) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}
