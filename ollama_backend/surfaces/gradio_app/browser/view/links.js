// What a visitor typed, as it was typed, with links where it has addresses.

const ADDRESS = /https?:\/\/[^\s<>"'`\u202a-\u202e\u2066-\u2069]+/g;
const AFTER = /[.,;:!?)\]}*_~]+$/;

/**
 * A text in parts: plain ones, and those that are addresses.
 *
 * @param {string} text
 * @returns {(string | {href: string})[]}
 */
export function linkParts(text) {
  const parts = [];
  let at = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const href = withoutEnd(found);
    if (!URL.canParse(href)) continue;
    parts.push(text.slice(at, index), { href });
    at = index + href.length;
  }
  parts.push(text.slice(at));
  return parts.filter((part) => part !== '');
}

/** An address without the punctuation after it; a bracket that it opens itself belongs to it. */
function withoutEnd(address) {
  let end = address;
  for (let after = AFTER.exec(end); after; after = AFTER.exec(end)) {
    const last = end.at(-1);
    const opening = { ')': '(', ']': '[', '}': '{' }[last];
    if (opening && end.split(opening).length >= end.split(last).length) break;
    end = end.slice(0, -1);
  }
  return end;
}
