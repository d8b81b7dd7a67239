// The key: in localStorage and in a header of this script's own requests, never in a component.
let key = disk.getItem('chat.key') || '';
let offered = takeFromLink();
const plainFetch = window.fetch.bind(window);

function takeFromLink() {
  const found = new URLSearchParams(location.hash.slice(1)).get('key');
  if (!found) return '';
  history.replaceState(history.state, '', location.pathname + location.search);
  // On huggingface.co the address bar is the outer page's; it listens for this.
  if (window.parent !== window) window.parent.postMessage({queryString: location.search, hash: ''}, 'https://huggingface.co');
  return found.trim();
}

window.fetch = (input, options = {}) => {
  const url = new URL(input instanceof Request ? input.url : input, document.baseURI);
  if (!key || url.origin !== location.origin || !url.pathname.includes('/gradio_api/')) return plainFetch(input, options);
  const headers = new Headers(options.headers ?? (input instanceof Request ? input.headers : undefined));
  if (!headers.has('X-API-Key')) headers.set('X-API-Key', key);
  return plainFetch(input, {...options, headers});
};

function keepKey(next) {
  key = next;
  try { disk.setItem('chat.key', key) } catch { /* full: for this tab only */ }
}

const isHeaderText = text => /^[\x20-\x7e]+$/.test(text);
async function tryKey(candidate) {
  if (!isHeaderText(candidate)) return 'A key is made of plain letters, digits and signs. Check what you have pasted.';
  const told = await hello(candidate);
  if (told === null) return 'The server cannot be reached. Try again in a moment.';
  if (told.access === 'denied') return 'This key is wrong. Use the one that this server’s owner gave you.';
  keepKey(candidate);
  learn(told);
  return '';
}

// At the start: a key from a link is taken when no working one is there, and otherwise only after asking.
async function signIn() {
  const told = await hello();
  if (told === null) return false;
  const link = offered;
  offered = '';
  if (!link || link === key || told.access === 'open') return learn(told), true;
  if (told.access === 'denied') {
    const fault = await tryKey(link);
    if (fault) { learn(told); signInFault(fault) }
    return true;
  }
  learn(told);
  question('This link brings another key than the one that this browser keeps. Use the new one?', 'Use the new key', () => tryKey(link).then(fault => fault && notify(fault)));
  return true;
}
