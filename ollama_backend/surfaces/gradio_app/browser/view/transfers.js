// Export, import and "Use from code". Needs a browser.

import { currentConversation, listed } from '../chat/conversations.js';
import { exportHtml, exportJson, exportMarkdown, fileName, importConversations } from '../chat/transfer.js';
import { modelOf } from '../chat/choices.js';
import { addressOf } from '../server/api.js';
import { notice, state } from '../state.js';
import { direction, locale, t } from '../words.js';
import { openDialog } from './dialog.js';
import { button, el } from './dom.js';
import { outcomeOf } from './figures.js';
import { copyAndSay } from './html.js';

const KEPT_URL = 10_000;

/** @param {string} name @param {string} type @param {string} text */
function download(name, type, text) {
  const link = el('a', { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_URL);
}

async function highlightCss() {
  const sheet = document.querySelector('link[href$="highlight.css"]');
  return sheet ? (await fetch(sheet.href)).text() : '';
}

export function openExport() {
  const here = currentConversation();
  const all = listed().map((each) => each.id);
  openDialog('export-dialog', t('export.title'), (close) => {
    const offer = (key, name, extension, type, make) =>
      button(t(key), async () => {
        close();
        download(await fileName(name, extension), type, await make());
      });
    const share = async () =>
      exportHtml(here.id, {
        css: await highlightCss(),
        outcomeOf,
        language: locale(),
        direction: direction(),
      });
    const one = here?.title
      ? [
          offer('export.thisJson', here.title, 'json', 'application/json', () => exportJson([here.id])),
          offer('export.thisMarkdown', here.title, 'md', 'text/markdown', () => exportMarkdown([here.id])),
          offer('export.thisHtml', here.title, 'html', 'text/html', share),
        ]
      : [];
    if (!all.length) return [el('p', {}, t('export.nothing'))];
    const name = t('export.conversations');
    return [
      ...one,
      offer('export.allJson', name, 'json', 'application/json', () => exportJson(all)),
      offer('export.allMarkdown', name, 'md', 'text/markdown', () => exportMarkdown(all)),
    ];
  });
}

export function chooseImport() {
  const picker = el('input', { type: 'file', accept: '.json,.md,.zip', hidden: true, id: 'import-file' });
  picker.addEventListener('change', async () => {
    const [file] = picker.files;
    picker.remove();
    if (file) notice(await importConversations(file));
  });
  document.body.append(picker);
  picker.click();
}

/** Programs that use this server, with its address and the model that is chosen. */
export async function openSnippets() {
  const { KEY_PLACEHOLDER, snippets } = await import('../code/snippets.js');
  let showsKey = false;
  const { fill } = openDialog('snippets', t('snippets.title'), () => {
    const key = showsKey ? state.key : KEY_PLACEHOLDER;
    const list = snippets({ url: addressOf('.').href, model: modelOf()?.name ?? state.site.model, key });
    const toggle = () => {
      showsKey = !showsKey;
      fill();
    };
    return [
      el('p', { class: 'quiet' }, t('snippets.hint')),
      state.key && button(t(showsKey ? 'snippets.hideKey' : 'snippets.showKey'), toggle, { id: 'show-key' }),
      list.map(snippetParts),
    ];
  });
}

function snippetParts({ name, install, code }) {
  const copy = button(t('action.copy'), () => copyAndSay(code, copy.lastChild), {}, 'copy');
  return el(
    'section',
    { class: 'snippet' },
    el('div', { class: 'row between' }, el('h3', {}, name), copy),
    install && el('p', { class: 'quiet' }, t('snippets.install', { command: install })),
    el('pre', { tabindex: '0', dir: 'ltr' }, el('code', {}, code)),
  );
}
