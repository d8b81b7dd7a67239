// One turn: the answer that is being written, found again by its id after whatever has happened to page or server.
let cur, turn, part = null, ending = false, dropped = null, heard = Date.now(), trigger = () => {};
let partTimer = null, split = null, paintTimer = null, paintedAt = 0, paintCost = 0;
const stopped = new Set();
const ENDS = ['done', 'stopped', 'failed', 'unknown'];
const SILENCE = 20000;
const LOST = 'The answer was interrupted: the server was restarted, or nobody had read for too long. Retry writes it again.';

const go = id => { cur = id; turn = conv().turn; part = null; split = null; tab.setItem('chat.current', id); put('chat.last', id) };
const flush = () => {
  clearTimeout(partTimer);
  partTimer = null;
  if (part && part.id === turn?.id) put('chat.p.' + part.id, {thinking: part.thinking, content: part.content, thought: part.thought});
};
addEventListener('pagehide', flush);
document.addEventListener('visibilitychange', flush);
// Follow what the conversation now says. Where two tabs sent at the same instant and the other one wrote last,
// this tab's message goes back into its box.
function adopt(now) {
  const mine = turn;
  turn = now.turn;
  if (!mine?.text || now.messages.some(m => m.turn === mine.id)) return;
  dropped = mine.id;
  draft([mine.text, tab.getItem('chat.draft')].filter(Boolean).join('\n'));
}
addEventListener('storage', event => {
  if (event.key === 'chat.key') { key = event.newValue || ''; watchServer() }
  if (event.key !== 'chat.c.' + cur && event.key !== 'chat.index') return;
  if (event.newValue === null) turn = null; // removed there, with what was sent
  trigger('submit');
});

// Gradio sees a stream that breaks, not one that falls silent or ends politely.
setInterval(async () => {
  if (!turn || Date.now() - heard < chat.silence) return;
  heard = Date.now();
  try {
    await plainFetch(location.href, {cache: 'no-store', signal: AbortSignal.timeout(5000)});
    location.reload();
  } catch { /* no connection: tried again after the same time */ }
}, 1000);

// What the server is asked after every act: to follow this turn (and start it if nobody has), or nothing.
async function request() {
  const c = conv(), t = c.turn, stop = dropped;
  dropped = null;
  heard = Date.now();
  const asked = {id: t?.id ?? null, start: !!t && !t.seen, drop: stop};
  return asked.start ? {...asked, ...t.ask, messages: await withPictures(toldSoFar(c.messages))} : asked;
}
const toldSoFar = messages => messages.filter(m => m.text || m.role === 'user').map(m => ({role: m.role, content: m.text ?? '', images: m.images}));

function hear(news) {
  if (!news?.id) return;
  heard = Date.now();
  reached = true;
  if (news.id !== turn?.id) return; // late news of a turn that this tab has left
  if (!ENDS.includes(news.state)) {
    if (part?.state !== news.state) stateAt = Date.now() - 1000 * (news.since ?? 0);
    part = {...news};
    partTimer ??= setTimeout(flush, 1000);
    if (stopped.has(news.id)) stop();
    if (!turn.seen) seen(news.id);
    paintSoon();
    return;
  }
  clearTimeout(partTimer);
  partTimer = null;
  finish(news);
}
function seen(id) {
  turn.seen = true;
  const c = conv();
  if (c.turn?.id !== id) return;
  c.turn = {id, seen: true, text: c.turn.text};
  put('chat.c.' + cur, c);
}
function finish(news) {
  const c = conv();
  const kept = news.content === undefined ? get('chat.p.' + news.id, {}) : news;
  part = null;
  split = null;
  if (c.turn?.id === news.id) {
    if (news.code === 'unauthorized') site = {...site, access: 'denied', models: [], model: ''};
    if (news.code === 'unauthorized' && !c.turn.seen) return refused(c);
    c.messages.push(ended(news, kept));
    c.turn = null;
    save(c);
    drop('chat.p.' + news.id);
  } // otherwise the other tab was first
  ending = true;
  announceEnd(news);
  trigger('input');
}
function ended(news, kept) {
  const how = news.state === 'stopped' ? (news.stop_reason === 'left' ? 'interrupted' : 'stopped') : news.state === 'unknown' || news.code === 'shutting_down' ? 'interrupted' : news.state;
  const error = news.error ?? (how === 'interrupted' ? LOST : '');
  const message = {role: 'assistant', text: kept.content ?? '', thinking: kept.thinking ?? '', thought: kept.thought, model: news.model, stats: news.stats, end: how, error};
  return Object.fromEntries(Object.entries(message).filter(([, value]) => value !== '' && value !== undefined && value !== null));
}
// The key is no longer valid and nothing was begun: the message goes back into the box.
function refused(c) {
  draft(c.messages.pop()?.text);
  c.turn = null;
  save(c);
  ending = true;
  trigger('input');
}

// No more often than painting allows, so that typing stays smooth.
function paintSoon() {
  const wait = paintedAt + (paintCost > 30 ? 4 * paintCost : 0) - performance.now();
  if (wait <= 0) trigger('input');
  else paintTimer ??= setTimeout(() => { paintTimer = null; trigger('input') }, wait);
}
function paint() {
  if (ending) { ending = false; return view() }
  if (!part || part.id !== turn?.id) return [];
  const began = paintedAt = performance.now();
  requestAnimationFrame(() => setTimeout(() => { paintCost = performance.now() - began }));
  drawTail();
  return [undefined, liveBubbles()];
}

function stop() {
  if (!turn) return;
  const id = turn.id;
  if (!stopped.has(id)) { stopped.add(id); drawTail() }
  call('stop', [id]).catch(() => {});
}
// The server has said all it had to say, or its stream was lost without a word.
function followed() {
  const id = turn?.id;
  if (id) setTimeout(() => { if (turn?.id === id && Date.now() - heard > 4500) trigger('submit') }, 5000);
}

const bubble = (role, text, metadata = null) => ({role, metadata, content: [{type: 'text', text}], options: null});
const thinkingBubble = (text, pending, seconds) => bubble('assistant', shown(text), {title: pending ? 'Thinking' : 'Thought', status: pending ? 'pending' : 'done', ...(seconds ? {duration: seconds} : {})});
function bubbles(message) {
  if (message.role === 'user') return [bubble('user', shown(message.text))];
  const list = message.thinking ? [thinkingBubble(message.thinking, false, message.thought)] : [];
  if (message.text || !list.length) list.push(bubble('assistant', message.text ? shown(message.text) : '\u00a0'));
  return list;
}
function liveBubbles() {
  const now = part?.id === turn?.id && part || get('chat.p.' + turn.id, {});
  const list = now.thinking ? [thinkingBubble(now.thinking, !now.content, now.thought)] : [];
  if (!now.content) return list;
  split = pieces(now.content, split);
  return [...list, ...split.list.map(text => bubble('assistant', shown(text))), bubble('assistant', shown(now.content.slice(split.upto)))];
}
