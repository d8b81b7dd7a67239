// Starts the page: loads what this browser keeps, draws, and installs the listeners.

import { shownPath } from './chat/acts.js';
import { conversationInAddress, showInAddress, takeKeyFromAddress, watchAddress } from './chat/address.js';
import { followRunning, keepParts, reconcile, startAnswers } from './chat/answers.js';
import { currentConversation, markRead, openConversation, purge } from './chat/conversations.js';
import { changeSettings } from './chat/choices.js';
import { writeDrafts } from './chat/drafts.js';
import { loadKey, signIn } from './chat/keys.js';
import { bringInEarlier } from './chat/earlier_version.js';
import { listenToTabs, readAgain } from './chat/tabs.js';
import { newId } from './ids.js';
import { choose, LANGUAGES, loadTable } from './languages/tables.js';
import { askForHtml } from './server/rendering.js';
import { learn, watchServer } from './server/watch.js';
import { setConversations, setSettings, state, subscribe } from './state.js';
import {
  askToPersist,
  loadConversations,
  localArea,
  localJson,
  measure,
  openRecords,
  tabArea,
} from './storage/records.js';
import { submitWaiting } from './view/composer.js';
import { endLoadingAnimation } from './view/loading_animation.js';
import { drawPage, mountPage, whenPlaced } from './view/page.js';
import { question } from './view/dialog.js';
import { focusBox } from './view/focus.js';
import { stopReading } from './view/aloud.js';
import { applyTheme, watchTheme } from './view/theme.js';
import { announceEnd } from './view/voice.js';
import { isTouch } from './view/dom.js';
import { direction, locale, t, useWords } from './words.js';

const SIGN_IN_AGAIN = 1000;

/** Use the language that was chosen, or the browser's. */
async function useLanguage() {
  const chosen = choose(navigator.languages, state.settings.language);
  useWords(await loadTable(chosen.language), chosen.locale, chosen.direction);
}

/** Gradio names the language that it found itself. */
function markLanguage() {
  Object.assign(document.documentElement, { lang: locale(), dir: direction() });
}

async function chooseLanguage(tag) {
  changeSettings({ language: tag });
  await useLanguage();
  markLanguage();
  drawPage();
}

/** The conversation that the address names, or that this tab or this browser has shown last, or a new one. */
function firstConversation() {
  const id = conversationInAddress() || tabArea().getItem('chat.current') || localArea().getItem('chat.last');
  const known = state.conversations.get(id);
  return known && !known.deletedAt ? id : newId();
}

async function loadBrowser() {
  await openRecords(window);
  loadKey();
  await bringInEarlier();
  setSettings(localJson('chat.settings', {}));
  const languageReady = useLanguage().catch((error) => console.warn(error.message));
  setConversations(await loadConversations());
  takeKeyFromAddress();
  await openConversation(firstConversation());
  await languageReady;
}

/** Ask the server what it is, until it answers. */
async function begin() {
  while (!(await signIn(question))) await new Promise((resolve) => setTimeout(resolve, SIGN_IN_AGAIN));
  askForHtml();
}

/** An answer has ended. @param {import('./tree.js').Message} message */
function ended(message) {
  if (message.code === 'unauthorized') learn();
  else if (shownPath().at(-1)?.id === message.id) announceEnd(message);
  measure(window);
}

function keepAll() {
  keepParts();
  writeDrafts();
}

function listen() {
  listenToTabs({
    changed: reconcile,
    key: () => {
      loadKey();
      learn();
    },
    settings: () => setSettings(localJson('chat.settings', {})),
  });
  watchAddress(begin);
  watchServer(window);
  watchTheme();
  window.addEventListener('pagehide', () => {
    keepAll();
    stopReading();
  });
  window.addEventListener('pageshow', (event) => event.persisted && readAgain());
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) keepAll();
    else if (currentConversation()) markRead(state.current);
  });
  subscribe((topics) => {
    if (topics.has('conversation')) showInAddress();
    if (topics.has('site') || topics.has('connection')) askForHtml();
    if (topics.has('site')) submitWaiting();
  });
}

async function start() {
  endLoadingAnimation(window);
  const [place] = await Promise.all([whenPlaced(), loadBrowser()]);
  markLanguage();
  applyTheme();
  mountPage(place, { languages: [...LANGUAGES], chooseLanguage });
  startAnswers({ ended });
  listen();
  showInAddress();
  begin();
  await followRunning();
  await purge();
  // A frame may not take the focus from the page around it, and on a phone the keyboard would cover the page.
  if (window.parent === window && !isTouch()) focusBox();
  await askToPersist(window);
}

start().catch((error) => {
  console.error(error);
  document.body.append(
    Object.assign(document.createElement('p'), { textContent: `${t('page.failed')} ${error.message}` }),
  );
});
