go(tab.getItem('chat.current') || get('chat.last') || newId());
function listen(to) {
  trigger = to;
  const wanted = tab.getItem('chat.side'), framed = window.parent !== window;
  document.body.classList.toggle('side-open', !isNarrow() && (wanted ? wanted === 'open' : !framed || innerWidth > 1100));
  applyTheme();
  document.body.append(voice);
  watchTalk();
  watchServer();
}
const chat = {
  silence: SILENCE, act, paint, request, hear, followed, stop, draw, listen,
  turnId: () => turn?.id ?? null,
  isReady: () => site.access !== '' && !!talk,
  stored: () => conv(),
  site: () => site,
  current: () => cur,
};

// When the page is left Gradio reports the end of its own stream as errors, and opens it once more for what it has just
// asked; a true break is told in words.
const loud = console.error.bind(console);
console.error = (...said) => {
  if (said[0]?.name !== 'AbortError' && !(said[0] === 'Unexpected error' && /errored out|^404: /.test(said[1]))) loud(...said);
};
