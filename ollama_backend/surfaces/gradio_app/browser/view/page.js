// The frame of the page, and which parts of it are drawn again when something has changed. Needs a browser.

import { attach, pasteAsFile } from '../chat/attachments.js';
import { currentConversation, openConversation } from '../chat/conversations.js';
import { runningHere } from '../chat/acts.js';
import { state, subscribe } from '../state.js';
import { tabArea } from '../storage/records.js';
import { t } from '../words.js';
import { listenToCopying } from './clipboard.js';
import { composer, drawComposer, drawSend } from './composer.js';
import { el, isNarrow } from './dom.js';
import { drawHeader, headerPlace } from './header.js';
import { listenToHtml } from './html.js';
import { listenToKeys } from './keyboard.js';
import { toggleMenu } from './menu.js';
import { watchScrolling } from './scrolling.js';
import { markHits } from './search.js';
import { openSettings } from './settings.js';
import { drawSide, openSide, sidePlace } from './side.js';
import { drawStatus, statusPlaces } from './status.js';
import { drawAll, drawHtml, drawLive, drawTalk, fill, showMessage } from './talk.js';
import { chooseImport, openExport, openSnippets } from './transfers.js';
import { voice } from './voice.js';
import { drawWelcome, welcomePlace } from './welcome.js';

const TICK = 1000;
let acts = {};

/** The place that Gradio has made for the page. @returns {Promise<HTMLElement>} */
export function whenPlaced() {
  return new Promise((resolve) => {
    const look = () => {
      const place = document.getElementById('page');
      if (!place) return;
      seen.disconnect();
      resolve(place);
    };
    const seen = new MutationObserver(look);
    seen.observe(document.documentElement, { childList: true, subtree: true });
    look();
  });
}

/** @param {{languages: [string, string][], chooseLanguage: (tag: string) => void}} words */
export function mountPage(place, words) {
  acts = {
    toggleSide: () => openSide(!state.ui.sideOpen),
    openSettings: () => openSettings(words),
    openMore,
  };
  const list = el('ol', { id: 'messages' });
  const talk = el('div', { id: 'talk', tabindex: '0' }, welcomePlace(), list);
  const side = sidePlace({ exportAll: openExport, importFile: chooseImport, show });
  const stage = el(
    'main',
    { id: 'stage' },
    headerPlace(),
    talk,
    statusPlaces(),
    composer({ attach, pasted: pasteAsFile }),
  );
  place.replaceChildren(side, stage);
  document.body.append(voice());
  chooseSide();
  listenToHtml(talk);
  listenToKeys(window);
  listenToCopying(document);
  listenToDrops();
  watchScrolling(() => fill());
  window.addEventListener('beforeprint', drawAll);
  subscribe(drawTopics);
  setInterval(() => (state.live.size || !state.reached) && drawStatus(), TICK);
  drawPage();
}

/** Beside a conversation there is room for the list, but in a small frame. */
function chooseSide() {
  const kept = tabArea().getItem('chat.side');
  const isFramed = window.parent !== window;
  openSide(!isNarrow() && (kept ? kept === 'open' : !isFramed || innerWidth > 1100));
  matchMedia('(max-width: 800px)').addEventListener('change', () =>
    openSide(!isNarrow() && tabArea().getItem('chat.side') !== 'closed'),
  );
}

/** Files may be dropped and pasted anywhere. */
function listenToDrops() {
  const hasFiles = (transfer) => transfer?.types.includes('Files');
  document.addEventListener('dragover', (event) => hasFiles(event.dataTransfer) && event.preventDefault());
  document.addEventListener('drop', (event) => {
    if (!hasFiles(event.dataTransfer)) return;
    event.preventDefault();
    attach([...event.dataTransfer.files]);
  });
  document.addEventListener('paste', (event) => {
    if (event.clipboardData?.files.length) attach([...event.clipboardData.files]);
  });
}

function openMore(opener) {
  toggleMenu(opener, [
    { text: t('export.title'), sign: 'share', act: openExport, id: 'more-export' },
    { text: t('snippets.title'), sign: 'code', act: openSnippets, id: 'more-code' },
  ]);
}

/** Show a conversation, at a message if one is named. */
async function show(id, message) {
  if (id !== state.current) await openConversation(id);
  if (message) await showMessage(message);
  markHits();
}

export function drawPage() {
  drawTopics(new Set(['site', 'conversation', 'list', 'ui', 'notice']));
}

/** @param {Set<import('../state.js').Topic>} topics */
function drawTopics(topics) {
  const has = (...names) => names.some((name) => topics.has(name));
  if (has('site', 'settings', 'conversation', 'ui')) drawHeader(acts);
  if (has('conversation')) drawTalk();
  if (has('html')) drawHtml();
  if (has('live')) drawLive();
  if (has('site', 'conversation', 'settings')) drawWelcome();
  if (has('list', 'ui', 'site')) drawSide();
  if (has('conversation', 'ui', 'site', 'settings')) drawComposer();
  else if (has('live')) drawSend();
  if (has('site', 'connection', 'conversation', 'live', 'notice')) drawStatus();
  if (has('conversation', 'site', 'list')) drawTitle();
  if (has('html', 'conversation')) markHits();
}

function drawTitle() {
  const names = [currentConversation()?.title, t('app.title')].filter(Boolean).join(' · ');
  document.title = runningHere() ? `… ${names}` : names;
}
