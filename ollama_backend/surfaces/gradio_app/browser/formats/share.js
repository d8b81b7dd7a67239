// A conversation as one HTML file that needs no server: no script, no request, its own style.

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

const STYLE = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 48rem; font: 16px/1.6 system-ui, sans-serif; }
h1 { font-size: 1.4rem; line-height: 1.3; }
article { margin: 1.5rem 0; overflow-wrap: anywhere; }
article > header, footer, .note { font-size: .85rem; opacity: .75; }
.user > .text { white-space: pre-wrap; padding: .7rem 1rem; border-radius: .8rem; }
.user > .text, pre { background: color-mix(in srgb, currentColor 8%, transparent); }
pre { padding: .8rem 1rem; border-radius: .5rem; overflow-x: auto; overflow-wrap: normal; }
pre { direction: ltr; text-align: left; }
code, pre { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .9em; }
table { border-collapse: collapse; display: block; max-width: 100%; overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; }
blockquote { margin-inline: 0; padding-inline-start: 1rem; border-inline-start: 3px solid var(--line); }
img { max-width: 100%; height: auto; border-radius: .5rem; }
details { margin: .5rem 0; } details > div { white-space: pre-wrap; opacity: .8; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); }
@media print { body { max-width: none; } article { break-inside: avoid-page; } pre { white-space: pre-wrap; } }
`;

/**
 * @typedef {object} SharedMessage
 * @property {'user' | 'assistant'} role
 * @property {string} text as it was written
 * @property {string} [html] of an answer, from the server's renderer and from nowhere else
 * @property {string} [thinking]
 * @property {string} [model]
 * @property {string} [note] why an answer ended early, in words
 * @property {string[]} [images] data URLs
 * @property {string[]} [files] names
 */

/** @param {string} text */
const escapeHtml = (text) => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

/**
 * The file.
 *
 * @param {object} page
 * @param {string} page.title
 * @param {SharedMessage[]} page.messages the branch that is shown
 * @param {number} page.at
 * @param {string} [page.css] styles of highlighted code
 * @param {{language: string, direction: 'ltr' | 'rtl', t: (key: string, values?: Record<string, any>) => string}} words
 * @returns {string}
 */
export function sharePage({ title, messages, at, css = '' }, { language, direction, t }) {
  const date = new Intl.DateTimeFormat(language, { dateStyle: 'long' }).format(at);
  return `<!doctype html>
<html lang="${escapeHtml(language)}" dir="${direction}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>${escapeHtml(title)}</title>
<style>${STYLE}${css.replaceAll('<', '\\3c ')}</style>
</head>
<body>
<h1 dir="auto">${escapeHtml(title)}</h1>
<main>
${messages.map((message) => articleOf(message, t)).join('\n')}
</main>
<footer>${escapeHtml(t('share.footer', { date }))}</footer>
</body>
</html>
`;
}

/** @param {SharedMessage} message @param {(key: string, values?: Record<string, any>) => string} t */
function articleOf({ role, text, html, thinking, model, note, images = [], files = [] }, t) {
  const who = role === 'user' ? t('share.you') : (model ?? t('share.assistant'));
  const parts = [`<header>${escapeHtml(who)}</header>`];
  if (thinking) {
    const summary = `<summary>${escapeHtml(t('share.thinking'))}</summary>`;
    parts.push(`<details>${summary}<div dir="auto">${escapeHtml(thinking)}</div></details>`);
  }
  for (const url of images) {
    if (url.startsWith('data:image/'))
      parts.push(`<p><img src="${escapeHtml(url)}" alt="${escapeHtml(t('share.picture'))}"></p>`);
  }
  if (files.length) parts.push(`<p class="note">${files.map((name) => escapeHtml(name)).join(' · ')}</p>`);
  const isPlain = role === 'user' || html === undefined;
  if (text || html) parts.push(isPlain ? plain(text) : `<div class="text">${html}</div>`);
  if (note) parts.push(`<p class="note">${escapeHtml(note)}</p>`);
  return `<article class="${role === 'user' ? 'user' : 'assistant'}">${parts.join('\n')}</article>`;
}

/** @param {string} text */
const plain = (text) => `<div class="text" dir="auto" style="white-space: pre-wrap">${escapeHtml(text)}</div>`;

/**
 * A name for a file of this title.
 *
 * @param {string} title
 * @param {string} extension
 */
export function fileName(title, extension) {
  const plainTitle = title.replace(/[^\p{L}\p{M}\p{N}]+/gu, '-').replace(/^-|-$/g, '');
  return `${[...plainTitle].slice(0, 40).join('').replace(/-$/, '') || 'chat'}.${extension}`;
}
