// Conversations as files: JSON, and Markdown that people can read. What comes in may hold text only.
const LARGEST_FILE = 10 * 2 ** 20;
const MARKER = /^<!-- (user|assistant) -->$/m;

function download(name, type, text) {
  const link = el('a', {href: URL.createObjectURL(new Blob([text], {type})), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
const fileName = (title, extension) => `${title.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '').slice(0, 40) || 'chat'}.${extension}`;
const portable = x => ({title: x.title, at: new Date(x.at).toISOString(), messages: conv(x.id).messages.map(({role, text, thinking, model}) => ({role, text, ...(thinking ? {thinking} : {}), ...(model ? {model} : {})}))});
const asJson = list => JSON.stringify({conversations: list.map(portable)}, null, 1);
const guarded = text => text.replace(/^(\\*)(# |<!-- (?:user|assistant) -->$)/gm, '$1\\$2');
const unguarded = text => text.replace(/^(\\*)\\(# |<!-- (?:user|assistant) -->$)/gm, '$1$2');
const asMarkdown = list => list.map(portable).map(c => `# ${c.title}\n\n` + c.messages.map(m => `<!-- ${m.role} -->\n**${m.role === 'user' ? 'You' : m.model ?? 'Assistant'}**\n\n${guarded(m.text)}\n`).join('\n')).join('\n');

function exportAsked() {
  const here = index().filter(x => x.id === cur), all = index();
  const offer = (text, list, form) => list.length > 0 && button(text, () => {
    asked.close();
    const name = list.length === 1 ? list[0].title : 'conversations';
    form === 'json' ? download(fileName(name, 'json'), 'application/json', asJson(list)) : download(fileName(name, 'md'), 'text/markdown', asMarkdown(list));
  });
  const asked = el('dialog', {id: 'export-dialog', 'aria-label': 'Export', onclose: () => asked.remove()}, el('h2', {}, 'Export'),
    all.length ? el('div', {class: 'stack'}, offer('This conversation as JSON', here, 'json'), offer('This conversation as Markdown', here, 'md'), offer('All conversations as JSON', all, 'json'), offer('All conversations as Markdown', all, 'md')) : el('p', {}, 'There is nothing to export yet.'),
    el('div', {class: 'row'}, button('Cancel', () => asked.close())));
  document.body.append(asked);
  asked.showModal();
}

function importAsked() {
  const picker = el('input', {type: 'file', accept: '.json,.md,application/json,text/markdown', hidden: true, id: 'import-file', onchange: async () => {
    const file = picker.files[0];
    picker.remove();
    if (file) importText(file.name, file.size > LARGEST_FILE ? '' : await file.text());
  }});
  document.body.append(picker);
  picker.click();
}
function importText(name, text) {
  let found = [];
  try { found = /\.md$/i.test(name) ? readMarkdown(text) : readJson(text) } catch { /* told below */ }
  for (const c of found.reverse()) {
    const id = newId();
    put('chat.c.' + id, {messages: c.messages, turn: null});
    put('chat.index', [{id, title: c.title, at: Date.now(), named: true}, ...index()]);
  }
  notify(found.length ? `${found.length} conversation${found.length === 1 ? '' : 's'} brought in.` : 'This file holds no conversations that can be read.');
  drawAll();
}
const onlyText = value => typeof value === 'string' ? value : '';
function readable(heading, messages) {
  const kept = [];
  for (const m of Array.isArray(messages) ? messages : []) {
    const role = m?.role, text = onlyText(m?.text) || onlyText(m?.content), thinking = onlyText(m?.thinking);
    if (role !== 'user' && role !== 'assistant' || !text && !thinking) continue;
    if (kept.at(-1)?.role === role) kept.at(-1).text += '\n\n' + text;
    else kept.push({role, text, ...(thinking ? {thinking} : {}), ...(role === 'assistant' && onlyText(m.model) ? {model: m.model.slice(0, 100)} : {})});
  }
  return kept.length ? [{title: title(onlyText(heading) || kept[0].text), messages: kept}] : [];
}
const readJson = text => [JSON.parse(text)].flat().flatMap(file => Array.isArray(file?.conversations) ? file.conversations : [file]).flatMap(c => readable(c?.title, c?.messages));
const readMarkdown = text => text.split(/^(?=# )/m).flatMap(chapter => {
  const [head, ...rest] = chapter.split(MARKER), messages = [];
  for (let i = 0; i + 1 < rest.length; i += 2) messages.push({role: rest[i], text: unguarded(rest[i + 1].replace(/^\n\*\*[^\n]*\*\*\n\n/, '').replace(/\n+$/, ''))});
  return readable(head.replace(/^# /, '').trim(), messages);
});
