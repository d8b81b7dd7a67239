// Drawing: everything goes in as text, never as HTML.
const hosts = {}, drawers = {};
function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (name === 'value') made.value = value ?? '';
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter(child => child || child === 0));
  return made;
}
const ICONS = {
  menu: 'M4 6h16M4 12h16M4 18h16', plus: 'M12 5v14M5 12h14', pen: 'M4 20l4-1L19 8l-3-3L5 16zM14 7l3 3', bin: 'M5 7h14M10 7V5h4v2M7 7l1 13h8l1-13',
  gear: 'M4 7h10M18 7h2M4 17h2M10 17h10M14 5v4M6 15v4', close: 'M6 6l12 12M18 6L6 18', down: 'M12 5v14M6 13l6 6 6-6', up: 'M12 19V5M6 11l6-6 6 6',
  image: 'M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M9 9h.01', tick: 'M5 13l4 4L19 7', open: 'M7 10l5 5 5-5', again: 'M5 12a7 7 0 1 1 2 5M5 19v-4h4',
};
function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg'), path = document.createElementNS(svg.namespaceURI, 'path');
  for (const [key, value] of Object.entries({viewBox: '0 0 24 24', width: 18, height: 18, fill: 'none', stroke: 'currentColor', 'stroke-width': 1.8, 'stroke-linecap': 'round', 'stroke-linejoin': 'round', 'aria-hidden': 'true'})) svg.setAttribute(key, value);
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}
const button = (text, onclick, props = {}, sign = null) => el('button', {type: 'button', class: 'plain', onclick, ...props}, sign && icon(sign), text);
const iconButton = (name, label, onclick, props = {}) => el('button', {type: 'button', class: 'plain icon', 'aria-label': label, title: label, onclick, ...props}, icon(name));

function draw(name, element) {
  element.replaceChildren(hosts[name] = el('div', {class: 'host'}));
  drawAll();
  watchTalk();
}
function drawAll() {
  for (const name of Object.keys(drawers)) if (hosts[name]) drawers[name](hosts[name]);
  document.title = [conv().messages.length ? titleOf(cur) : '', site.model ?? '', 'Chat'].filter(Boolean).slice(0, 2).join(' · ');
}
const drawTail = () => { if (hosts.tail) drawers.tail(hosts.tail) };
// Drawn anew only when something that it shows has changed: focus and what is being typed stay.
function redraw(host, shows, make) {
  const now = JSON.stringify(shows);
  if (host.shows === now) return;
  const focused = host.contains(document.activeElement) ? document.activeElement.id : '';
  host.shows = now;
  host.replaceChildren(...make().flat().filter(Boolean));
  if (focused) document.getElementById(focused)?.focus();
}

let notice = null;
function notify(text, action = null) { notice = text ? {text, action} : null; drawTail() }

// A question in a dialog of the browser's own: it keeps the focus, and Esc means no.
function question(text, yes, then) {
  const asked = el('dialog', {class: 'ask', role: 'alertdialog', 'aria-labelledby': 'ask-text', onclose: () => asked.remove()},
    el('p', {id: 'ask-text'}, text),
    el('div', {class: 'row'}, button(yes, () => { asked.close(); then() }, {class: 'main-button'}), button('Cancel', () => asked.close())));
  document.body.append(asked);
  asked.showModal();
}

// One polite voice for states and for the finished answer; the Chatbots' own would read out every token.
const voice = el('div', {class: 'sr', role: 'status', 'aria-live': 'polite', id: 'voice'});
let said = '';
function announce(text) {
  if (text && text !== said) voice.textContent = said = text;
}
const READ_ALOUD = 3000;
function announceEnd(news) {
  const how = {done: 'Answer finished. ', stopped: 'Stopped. ', failed: `${news.error ?? 'Failed'} `}[news.state] ?? 'Interrupted. ';
  announce(how + visible(news.content ?? '').replace(/[*_`#>|]+/g, ' ').slice(0, READ_ALOUD));
}
