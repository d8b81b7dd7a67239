// What this script draws itself. All text goes in as text.
const hosts = {};
function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined && child !== false));
  return made;
}
function draw(name, element) {
  hosts[name] = element;
  drawAll();
  watchTalk();
}
const drawers = {};
function drawAll() {
  for (const name of Object.keys(drawers)) if (hosts[name]) drawers[name](hosts[name]);
}
const drawTail = () => { if (hosts.tail) drawers.tail(hosts.tail) };

// Drawn anew only when something that it shows has changed: focus and what is typed stay.
function redraw(host, shows, make) {
  const now = JSON.stringify(shows);
  if (host.dataset.shows === now) return;
  host.dataset.shows = now;
  host.replaceChildren(...make().filter(Boolean));
}

let fault = '', notice = '', asking = null;
const signInFault = text => { fault = text; drawAll() };
const notify = text => { notice = text; drawAll() };
const question = (text, yes, then) => { asking = {text, yes, then}; drawAll() };
const askForKey = () => document.getElementById('key')?.focus();

drawers.top = host => redraw(host, [site.access, site.model, site.status], () => [
  el('button', {id: 'fresh', class: 'plain', type: 'button', onclick: () => doAct('fresh')}, 'New chat'),
  el('span', {id: 'model'}, site.model ?? ''),
]);
drawers.side = host => redraw(host, [index(), cur], () => [
  el('ul', {id: 'chats'}, ...index().map(x => el('li', {}, el('button', {class: 'plain', type: 'button', 'aria-current': x.id === cur ? 'true' : null, onclick: () => doAct('open', x.id)}, x.title)))),
]);
drawers.empty = host => redraw(host, [site.access, fault, asking?.text, notice, site.error], () => [
  site.access === 'denied' && signInForm(),
  asking && el('div', {role: 'alertdialog', class: 'ask'}, el('p', {}, asking.text),
    el('button', {type: 'button', onclick: () => { const {then} = asking; asking = null; drawAll(); then() }}, asking.yes),
    el('button', {type: 'button', onclick: () => { asking = null; drawAll() }}, 'No')),
  notice && el('p', {role: 'alert'}, notice),
]);
function signInForm() {
  const field = el('input', {id: 'key', type: 'password', autocomplete: 'current-password', required: true, 'aria-describedby': 'key-fault', placeholder: 'Key'});
  const sent = async event => {
    event.preventDefault();
    signInFault(await tryKey(field.value.trim()));
    if (!fault) document.querySelector('#box textarea')?.focus();
  };
  return el('form', {id: 'sign-in', onsubmit: sent},
    el('label', {for: 'key'}, key ? 'The key that this browser kept is not valid any more. The owner of this server can set a lasting one with OLLAMA_API_KEY; your conversations and your draft are still here.' : 'This server asks for a key.'),
    field, el('button', {type: 'submit'}, 'Save'), el('p', {id: 'key-fault', role: 'alert'}, fault));
}
drawers.tail = host => redraw(host, [words(), last()], () => [
  el('p', {id: 'state', class: turn ? 'busy' : ''}, words()),
  last()?.error && el('p', {id: 'error', role: 'alert'}, last().error),
]);
const last = () => turn ? null : conv().messages.at(-1);

function words() {
  if (!reached) return 'No connection to the server. Trying again …';
  if (!turn) return site.status === 'ok' || site.access === 'denied' ? '' : site.reason ?? '';
  if (stopped.has(turn.id)) return 'Stopping …';
  const now = part;
  if (!now) return 'Sending …';
  const seconds = Math.round(now.since ?? 0);
  return {
    preparing: now.reason || 'Waiting for Ollama …',
    waiting: now.position ? `Waiting: place ${now.position} in the line` : 'Waiting for a free place …',
    loading: 'Loading the model …',
    reading: 'Reading your prompt …',
    thinking: 'Thinking …',
    writing: 'Writing …',
  }[now.state] ?? '';
}
const announce = text => {};
const announceEnd = news => {};
