// Above, around and under the conversation: the bar, the empty page, the state, the notes under each answer.
drawers.top = host => redraw(host, [site.access, site.model, site.models, settings(), sideIsOpen()], () => [
  el('header', {}, iconButton('menu', 'Conversations', () => openSide(!sideIsOpen()), {id: 'menu', 'aria-expanded': String(sideIsOpen()), 'aria-controls': 'side'}),
    el('h1', {class: 'sr'}, 'Chat'),
    modelPicker(),
    modelNow()?.thinks && thinkShort(),
    el('span', {class: 'space'}),
    iconButton('plus', 'New chat', () => { doAct('fresh'); focusBox() }, {id: 'fresh-top'}),
    iconButton('gear', 'Settings', openSettings, {id: 'open-settings'})),
]);

const EXAMPLES = {
  ollama: ['Explain how a rainbow forms', 'Write a Python function that finds the primes up to n, with a test', 'Compare SQL and NoSQL databases in a table', 'Suggest a simple dinner from rice, eggs and spinach'],
  embedded: ['What is this?', 'How do I call the API from Python?', 'How do I install Ollama?', 'Where are my conversations kept?'],
};
let fault = '';
const signInFault = text => { fault = text; drawAll() };
drawers.empty = host => redraw(host, [site.access, fault, key !== '', conv().messages.length > 0, site.engine, site.model], () => {
  if (site.access === 'denied') return [signInForm()];
  if (conv().messages.length || !site.access) return [];
  return [el('section', {class: 'welcome', 'aria-label': 'Examples'},
    el('h2', {}, 'What would you like to know?'),
    site.engine === 'embedded' && el('p', {class: 'quiet'}, 'A small model that comes with this server answers here: it knows this server and little else. For any model, install Ollama: ', el('code', {}, 'curl -fsSL https://ollama.com/install.sh | sh')),
    el('div', {class: 'examples'}, (EXAMPLES[site.engine] ?? EXAMPLES.ollama).map(text => button(text, () => doAct('send', text), {class: 'plain example'}))))];
});
function signInForm() {
  const field = el('input', {id: 'key', type: 'password', autocomplete: 'current-password', required: true, 'aria-describedby': 'key-fault', spellcheck: 'false'});
  const sent = async event => {
    event.preventDefault();
    const told = await tryKey(field.value.trim());
    signInFault(told);
    if (!told) focusBox();
  };
  return el('form', {id: 'sign-in', onsubmit: sent},
    el('h2', {}, key ? 'The key has changed' : 'This server asks for a key'),
    el('p', {class: 'quiet'}, key ? 'The one that this browser kept is not valid any more. Your conversations and your draft are still here. The owner of this server can set a lasting key with OLLAMA_API_KEY.' : 'Its owner has it. It stays in this browser.'),
    el('label', {for: 'key'}, 'Key'),
    el('div', {class: 'row'}, field, el('button', {type: 'submit', class: 'main-button'}, 'Save')),
    el('p', {id: 'key-fault', role: 'alert', class: 'bad'}, fault));
}
function askForKey() {
  drawAll();
  document.getElementById('key')?.focus();
}
function signOut() {
  key = '';
  disk.removeItem('chat.key');
  learn({access: 'denied'});
}

drawers.tail = host => {
  if (!host.firstChild) host.append(...['down-place', 'state', 'progress', 'notice', 'pictures'].map(id => el('div', {id})));
  const text = words(), pulls = !turn || part?.state === 'preparing';
  host.querySelector('#state').className = turn || !reached || site.status === 'starting' ? 'busy' : '';
  redraw(host.querySelector('#state'), [text, elapsed()], () => text ? [el('span', {class: 'dots', 'aria-hidden': 'true'}, el('i'), el('i'), el('i')), text, elapsed() && el('span', {class: 'quiet'}, ` ${elapsed()}`)] : []);
  redraw(host.querySelector('#progress'), [pulls && site.total && site.completed, site.total], () => pulls && site.total ? [el('progress', {max: site.total, value: site.completed, 'aria-label': 'Download'})] : []);
  redraw(host.querySelector('#notice'), [notice?.text], () => notice ? [el('p', {role: 'alert'}, notice.text, iconButton('close', 'Dismiss', () => notify(null)))] : []);
  redraw(host.querySelector('#pictures'), attached, () => attached.map(id => thumbnail(id, () => { attached = attached.filter(x => x !== id); drawTail() })));
  redraw(host.querySelector('#down-place'), [following], () => following ? [] : [iconButton('down', 'Go to the end', () => toEnd(true), {id: 'down'})]);
  if (turn) announce(part?.state === 'waiting' && part.position ? 'Waiting in line' : text);
};
setInterval(() => { if (turn) drawTail() }, 1000);

// Gradio draws the messages; what belongs under them is added to the rows that it has drawn.
function decorate() {
  for (const log of document.querySelectorAll('#talk [role=log]')) log.setAttribute('aria-live', 'off');
  // A button within a button: only the outer one is meant.
  for (const arrow of document.querySelectorAll('#talk .thought-group .title .arrow button:not(:disabled)')) { arrow.disabled = true; arrow.setAttribute('aria-hidden', 'true') }
  for (const title of document.querySelectorAll('#talk .thought-group .title')) title.setAttribute('aria-expanded', String(title.classList.contains('expanded')));
  for (const bubble of document.querySelectorAll('#talk [data-testid][aria-label]')) bubble.removeAttribute('aria-label');
  const {messages} = conv();
  const rows = role => document.querySelectorAll(`#main .${role === 'user' ? 'user' : 'bot'}-row`);
  for (const role of ['user', 'assistant']) {
    const own = messages.filter(m => m.role === role);
    rows(role).forEach((row, i) => underneath(row, own[i], own[i] === messages.at(-1)));
  }
}
function underneath(row, message, isLast) {
  const place = row.querySelector(':scope > .flex-wrap');
  if (!place) return;
  let foot = place.querySelector(':scope > .foot');
  if (!foot) place.append(foot = el('div', {class: 'foot'}));
  redraw(foot, [message?.images, message?.stats, message?.end, message?.error, message?.model, isLast], () => {
    if (message?.role === 'user') return (message.images ?? []).map(id => thumbnail(id));
    if (!message) return [];
    const told = outcome(message), bad = message.end === 'failed' || message.end === 'interrupted';
    return [told && el('p', {class: bad ? 'outcome bad' : 'outcome', role: bad && isLast ? 'alert' : null}, told,
      bad && isLast && button('Retry', () => doAct('retry'), {}, 'again')), figures(message) && el('p', {class: 'quiet figures'}, figures(message))];
  });
}
let decorating = null;
const decorateSoon = () => { decorating ??= requestAnimationFrame(() => { decorating = null; decorate() }) };
