go(tab.getItem('chat.current') || get('chat.last') || newId());
function listen(to) {
  trigger = to;
  document.body.classList.toggle('side-open', !isNarrow() && tab.getItem('chat.side') !== 'closed');
  applyTheme();
  document.body.append(voice);
  watchTalk();
  watchServer();
}
const chat = {
  silence: SILENCE, act, paint, request, hear, followed, stop, draft, draw, listen,
  turnId: () => turn?.id ?? null,
  isReady: () => site.access !== '' && !!talk,
  stored: () => conv(),
  site: () => site,
  current: () => cur,
};

// Gradio reports the end of its own stream as two errors when the page is left; a true break is told in words.
const loud = console.error.bind(console);
console.error = (...said) => {
  if (said[0]?.name !== 'AbortError' && !(said[0] === 'Unexpected error' && /errored out/.test(said[1]))) loud(...said);
};
