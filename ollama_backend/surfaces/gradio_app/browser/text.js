// What is shown of a text: Markdown that loads nothing from elsewhere and holds no HTML. An invisible mark (a word
// joiner) breaks what could be a tag or an image; it is taken out again of everything that is copied or edited.
const MARK = '\u2060', IMAGE = `[${MARK}Image: ${MARK}`;
const OVERRIDES = /[\u202a-\u202e\u2066-\u2069]/g; // they could make a link look like another
const visible = text => String(text).replace(OVERRIDES, '').replaceAll(MARK, '');
const original = text => text.replaceAll(IMAGE, '![').replaceAll(MARK, '');

const PARTS = /(^ {0,3}(`{3,}|~{3,})[^\n]*\n[\s\S]*?(?:^ {0,3}\2[`~]*[ \t]*$|$(?![\s\S])))|(`+)(?!`)[^\n]*?[^`]\3(?!`)|(\$\$[\s\S]+?\$\$|\\\[[\s\S]+?\\\]|\\\([\s\S]+?\\\))/gm;
function shown(text) {
  text = visible(text);
  let out = '', at = 0;
  for (const found of text.matchAll(PARTS)) {
    out += defused(text.slice(at, found.index));
    out += found[4] ? found[0].replace(/<(?=\S)/g, '< ') : found[1] ? plainFence(found[0]) : found[0];
    at = found.index + found[0].length;
  }
  return out + defused(text.slice(at));
}
const defused = text => text.replace(/<(?=[a-z/!?])/gi, '<' + MARK).replace(/!\[/g, IMAGE);
// A diagram would be drawn by a library that can be told to load pictures.
const plainFence = text => text.replace(/^( {0,3}(?:`{3,}|~{3,})\s*)mermaid\b/i, '$1text');

// Everything that is copied is the text as it was written.
if (navigator.clipboard?.writeText) {
  const write = navigator.clipboard.writeText.bind(navigator.clipboard);
  navigator.clipboard.writeText = text => write(original(text));
}
document.addEventListener('copy', event => {
  const selected = String(getSelection());
  if (!selected.includes(MARK)) return;
  event.clipboardData.setData('text/plain', original(selected));
  event.preventDefault();
});

// A growing answer in pieces, of which only the last changes: what is finished is not parsed again.
const PIECE = 1500;
function pieces(text, before) {
  const kept = before && text.startsWith(before.text.slice(0, before.upto)) ? before : {upto: 0, list: []};
  let {upto, list} = kept;
  while (text.length - upto > PIECE) {
    const cut = boundary(text.slice(upto));
    if (!cut) break;
    list = [...list, text.slice(upto, upto + cut)];
    upto += cut;
  }
  return {text, upto, list};
}
// After a blank line, outside of fences and formulas, before a line that begins a new block by itself.
function boundary(text) {
  const blocked = [...text.matchAll(PARTS)].map(found => [found.index, found.index + found[0].length]);
  for (const found of text.matchAll(/\n\n(?=[^\s\d|>*+-])/g)) {
    const at = found.index + 2;
    if (at > PIECE / 2 && at < text.length - 1 && !blocked.some(([from, to]) => from < at && at < to)) return at;
  }
  return 0;
}
