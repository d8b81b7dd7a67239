// Copying, also where the page has no clipboard API: on plain http from another machine. Needs a browser.

/** @param {string} text @returns {Promise<boolean>} whether it is in the clipboard now */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const focused = document.activeElement;
  const field = document.createElement('textarea');
  field.value = text;
  field.className = 'sr';
  const place = focused?.closest('dialog') ?? document.body;
  place.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  focused?.focus?.({ preventScroll: true });
  return done;
}

/** A selection is copied as it was written: a formula as its source. */
export function listenToCopying(document) {
  document.addEventListener('copy', (event) => {
    const selection = document.getSelection();
    if (!selection?.rangeCount || selection.isCollapsed) return;
    const content = selection.getRangeAt(0).cloneContents();
    const formulas = content.querySelectorAll('.formula[data-source]');
    if (!formulas.length) return;
    for (const formula of formulas) formula.replaceWith(formula.dataset.source);
    event.clipboardData.setData('text/plain', textOf(content));
    event.preventDefault();
  });
}

/** The text of a fragment as the browser would show it, with its line breaks. */
function textOf(content) {
  const host = document.createElement('div');
  host.className = 'off-screen';
  host.append(content);
  document.body.append(host);
  const text = host.innerText;
  host.remove();
  return text;
}
