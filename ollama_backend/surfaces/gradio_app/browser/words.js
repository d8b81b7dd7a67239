// States and numbers in words.
const bytes = n => n >= 1e9 ? `${(n / 1e9).toFixed(1)} GB` : n >= 1e6 ? `${Math.round(n / 1e6)} MB` : `${Math.max(1, Math.round(n / 1e3))} kB`;
const duration = s => s < 10 ? `${Math.round(s * 10) / 10} s` : s < 60 ? `${Math.round(s)} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;

const STATES = {
  preparing: now => now.reason || 'Waiting for Ollama',
  waiting: now => now.position ? `Waiting in line, place ${now.position}` : 'Waiting for a free place',
  loading: () => 'Loading the model',
  reading: () => 'Reading your prompt',
  thinking: () => 'Thinking',
  writing: () => 'Writing',
};
function words() {
  if (!reached) return 'No connection to the server. Trying again';
  if (turn && stopped.has(turn.id)) return 'Stopping';
  if (turn) return part ? STATES[part.state]?.(part) ?? '' : 'Sending';
  if (site.access === '') return 'Connecting';
  return site.access === 'denied' || (site.status === 'ok' && !site.reason) ? '' : site.reason ?? '';
}
// How long it has been at this; a long prompt takes minutes on a slow machine, and Ollama says nothing meanwhile.
let stateAt = 0;
function elapsed() {
  if (!turn || !part || !stateAt) return '';
  const seconds = (Date.now() - stateAt) / 1000;
  return seconds < 2 ? '' : duration(Math.floor(seconds));
}

function figures(message) {
  const s = message.stats ?? {}, told = [];
  if (s.tokens) told.push(`${s.tokens} token${s.tokens === 1 ? '' : 's'}`);
  if (s.tokens && s.eval_seconds) told.push(`${(s.tokens / s.eval_seconds).toFixed(1)} tokens/s`);
  if (s.first !== undefined) told.push(`first after ${s.first < 0.1 ? 'less than 0.1 s' : duration(s.first)}`);
  if (s.prompt_tokens) told.push(`prompt of ${s.prompt_tokens}`);
  if (message.model) told.push(message.model.replace(/:latest$/, ''));
  return told.join(' · ');
}
function outcome(message) {
  if (message.end === 'stopped') return 'Stopped.';
  if (message.end === 'interrupted') return message.error || LOST;
  if (message.end === 'failed') return message.error || 'It failed. Try again.';
  return message.stats?.reason === 'length' ? 'Cut off: the longest answer allowed was reached. Write “go on” for more, or raise it in the settings.' : '';
}
