// Formulas by KaTeX, which comes with Gradio and is loaded with the first of them. Until then, and where it cannot be
// had, their source is shown. Needs a browser.

const KEPT = 500;
const MAX_LENGTH = 20_000;
/** Drawn formulas by their source: what is being written is drawn again and again. @type {Map<string, Element>} */
const drawn = new Map();
let katex = null;
let isAsked = false;

const metaOf = (name) => document.querySelector(`meta[name="katex-${name}"]`)?.content;

async function load() {
  const [script, style] = [metaOf('js'), metaOf('css')];
  if (!script || !style) return;
  const link = document.createElement('link');
  Object.assign(link, { rel: 'stylesheet', href: style });
  document.head.append(link);
  katex = (await import(new URL(script, document.baseURI).href)).default;
  for (const formula of document.querySelectorAll('.formula:not([data-source])')) drawFormula(formula);
}

/** @param {ParentNode} root */
export function drawFormulas(root) {
  const formulas = root.querySelectorAll('.formula');
  if (!formulas.length) return;
  if (katex) for (const formula of formulas) drawFormula(formula);
  else if (!isAsked) {
    isAsked = true;
    load().catch((error) => console.warn(`Formulas are shown as text: ${error.message}`));
  }
}

function drawFormula(element) {
  const source = element.textContent;
  if (source.length > MAX_LENGTH || element.dataset.pending) return;
  const isDisplay = element.dataset.display === '1';
  const key = `${isDisplay} ${source}`;
  let copy = drawn.get(key);
  if (!copy) {
    copy = document.createElement('span');
    katex.render(source, copy, {
      displayMode: isDisplay,
      throwOnError: false,
      trust: false,
      strict: 'ignore',
      maxExpand: 500,
      maxSize: 50,
    });
    if (drawn.size >= KEPT) drawn.delete(drawn.keys().next().value);
    drawn.set(key, copy);
  }
  element.dataset.source = isDisplay ? `$$${source}$$` : `$${source}$`;
  element.replaceChildren(...copy.cloneNode(true).childNodes);
}
