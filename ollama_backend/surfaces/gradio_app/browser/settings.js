// What people choose, remembered by this browser: {model, think, system, options}.
const settings = () => get('chat.settings', {});
function choose(change) {
  put('chat.settings', {...settings(), ...change});
  drawAll();
}
const modelNow = () => site.models.find(m => m.name === settings().model) ?? site.models.find(m => sameModel(m.name, site.model)) ?? null;
const sameModel = (a, b) => (a ?? '').replace(/:latest$/, '') === (b ?? '').replace(/:latest$/, '');
function asked() {
  const {think, system, options} = settings(), model = modelNow();
  return {
    ...(model ? {model: model.name} : {}),
    ...(model?.thinks && typeof think === 'boolean' ? {think} : {}),
    ...(system?.trim() ? {system} : {}),
    ...(options && Object.keys(options).length ? {options} : {}),
  };
}
const modelLabel = m => [m.name.replace(/:latest$/, ''), m.parameter_size, m.size ? bytes(m.size) : '', m.thinks && 'thinks', m.sees && 'sees'].filter(Boolean).join(' · ');

// The name alone is seen; the list that opens tells more. `made` is the browser's own control, laid over it.
const picker = (shownText, made) => el('span', {class: 'picker'}, el('span', {'aria-hidden': 'true'}, shownText), icon('open'), made);
function modelPicker() {
  if (!site.models.length) return el('span', {class: 'quiet'}, site.model ?? '');
  const now = modelNow()?.name ?? '';
  return picker((now || site.model).replace(/:latest$/, ''), el('select', {id: 'model', 'aria-label': 'Model', title: 'Model', onchange: event => choose({model: event.target.value})},
    !now && el('option', {value: '', selected: true}, site.model),
    site.models.map(m => el('option', {value: m.name, selected: m.name === now}, modelLabel(m)))));
}
function thinkPicker(id) {
  const {think} = settings(), now = String(think ?? '');
  const options = [['', 'Auto'], ['true', 'On'], ['false', 'Off']];
  return el('select', {id, 'aria-label': 'Thinking', title: 'Thinking', onchange: event => choose({think: {true: true, false: false}[event.target.value] ?? null})},
    options.map(([value, text]) => el('option', {value, selected: now === value}, text)));
}
const thinkShort = () => picker(`Thinking: ${{true: 'on', false: 'off'}[settings().think] ?? 'auto'}`, thinkPicker('think'));

const OPTIONS = [
  ['temperature', 'Temperature', 'Higher is more varied, 0 always the same', 0, 2, 0.1],
  ['top_p', 'Top P', 'Leaves out the unlikely words', 0, 1, 0.05],
  ['top_k', 'Top K', 'Chooses among so many words', 1, 1000, 1],
  ['min_p', 'Min P', 'Leaves out words far less likely than the first', 0, 1, 0.01],
  ['repeat_penalty', 'Repeat penalty', 'Above 1 avoids repetition', 0, 2, 0.05],
  ['num_predict', 'Longest answer', 'In tokens', 1, null, 1],
  ['seed', 'Seed', 'The same seed gives the same answer', 0, 2147483647, 1],
];
function optionField([name, label, help, min, max, step]) {
  const {options = {}} = settings();
  const changed = event => {
    const field = event.target, now = {...settings().options};
    if (!field.checkValidity()) return field.reportValidity();
    if (field.value === '') delete now[name];
    else now[name] = Number(field.value);
    choose({options: now});
  };
  return el('label', {class: 'option', for: 'option-' + name}, el('span', {}, label, el('small', {}, help)),
    el('input', {id: 'option-' + name, type: 'number', min, max: max ?? site.max_tokens ?? 4096, step, placeholder: 'model’s own', value: options[name] ?? '', onchange: changed}));
}

function themePicker() {
  const now = disk.getItem('chat.theme') ?? 'system';
  return el('select', {id: 'theme', onchange: event => { disk.setItem('chat.theme', event.target.value); applyTheme() }},
    ['system', 'light', 'dark'].map(name => el('option', {value: name, selected: name === now}, {system: 'As the system', light: 'Light', dark: 'Dark'}[name])));
}
const darkSystem = matchMedia('(prefers-color-scheme: dark)');
function applyTheme() {
  const asked = new URLSearchParams(location.search).get('__theme'), chosen = disk.getItem('chat.theme');
  const theme = ['light', 'dark'].includes(asked) ? asked : chosen && chosen !== 'system' ? chosen : darkSystem.matches ? 'dark' : 'light';
  document.body.classList.toggle('dark', theme === 'dark');
  document.documentElement.style.colorScheme = theme;
}
darkSystem.addEventListener('change', applyTheme);

function openSettings() {
  const panel = el('dialog', {id: 'settings', 'aria-labelledby': 'settings-title', onclose: () => { panel.remove(); focusBox() }});
  const fill = () => panel.replaceChildren(el('div', {class: 'stack'},
    el('div', {class: 'row between'}, el('h2', {id: 'settings-title'}, 'Settings'), iconButton('close', 'Close', () => panel.close())),
    el('label', {for: 'system-prompt'}, 'System prompt'),
    el('textarea', {id: 'system-prompt', rows: 4, placeholder: 'What the model should know or do in every chat. Empty: this server’s own.', value: settings().system ?? '', oninput: event => choose({system: event.target.value})}),
    modelNow()?.thinks && el('label', {class: 'option', for: 'think-set'}, el('span', {}, 'Thinking', el('small', {}, 'Slower, and better at hard questions')), thinkPicker('think-set')),
    OPTIONS.map(optionField),
    el('label', {class: 'option', for: 'theme'}, el('span', {}, 'Colours'), themePicker()),
    el('div', {class: 'row flows'},
      button('Reset to the model’s own', () => { choose({system: '', options: {}, think: null}); fill() }),
      key && site.access === 'key' && button('Forget the key', () => { panel.close(); signOut() })),
    el('p', {class: 'quiet'}, 'Enter sends, Shift+Enter breaks the line, Esc stops, Ctrl+Shift+O starts a new chat, / goes to the message box.'),
    el('p', {class: 'quiet'}, `Conversations stay in this browser: ${bytes(2 * used())} of about ${bytes(2 * CAPACITY)} used.`)));
  fill();
  document.body.append(panel);
  panel.showModal();
}
