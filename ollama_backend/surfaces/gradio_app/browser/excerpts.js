// What a search finds in a text.

const AROUND = 40;

/** Words without case, and with the same letters however they are encoded. */
export const folded = (text) => text.normalize('NFC').toLowerCase();

/**
 * The part of a text around the first place that matches, or null. `wanted` is folded.
 *
 * @param {string} text
 * @param {string} wanted
 */
export function excerptOf(text, wanted) {
  const at = folded(text).indexOf(wanted);
  if (at < 0) return null;
  const start = Math.max(0, at - AROUND);
  const end = Math.min(text.length, at + wanted.length + AROUND);
  const line = text.slice(start, end).replace(/\s+/g, ' ').trim();
  return `${start > 0 ? '…' : ''}${line}${end < text.length ? '…' : ''}`;
}
