// What the server is asked besides the answers, and what it has told: Ollama's state, the models.
let site = {access: '', status: 'connecting', models: []};
let helloTimer = null, reached = true;

async function call(name, values, candidate) {
  const fn = window.gradio_config.dependencies.find(d => d.api_name === name).id;
  const answer = await fetch(new URL('gradio_api/run/predict', document.baseURI), {
    method: 'POST',
    headers: {'Content-Type': 'application/json', ...(candidate ? {'X-API-Key': candidate} : {})},
    body: JSON.stringify({data: values, fn_index: fn, session_hash: newId()}),
    signal: AbortSignal.timeout(10000),
  });
  if (!answer.ok) throw new Error('refused');
  return (await answer.json()).data[0];
}

async function hello(candidate) {
  try {
    const told = await call('hello', [], candidate);
    reached = true;
    return told;
  } catch {
    reached = false;
    return null;
  }
}

function learn(told) {
  const before = site;
  site = {...site, ...told};
  if (told.access === 'denied') site = {...site, models: [], model: ''};
  if (JSON.stringify(before) !== JSON.stringify(site)) drawAll();
}

// Asked often while something is the matter, seldom otherwise, and not at all by a page that nobody sees.
async function watchServer() {
  clearTimeout(helloTimer);
  const well = site.status === 'ok' || site.access === 'denied';
  helloTimer = setTimeout(watchServer, !reached ? 2000 : well ? 30000 : 2500);
  if (document.hidden && reached) return;
  if (site.access === '' || offered) { await signIn(); drawAll(); return }
  if (well && reached) return checkHealth();
  const told = await hello();
  if (told) learn(told);
  drawAll();
}
async function checkHealth() {
  if (site.access === 'denied') return;
  try {
    const health = await (await plainFetch(new URL('health', document.baseURI), {cache: 'no-store', signal: AbortSignal.timeout(5000)})).json();
    reached = true;
    if (health.status !== site.status || health.model !== site.model) { const told = await hello(); if (told) learn(told) }
  } catch {
    reached = false;
    setTimeout(watchServer, 1000);
  }
  drawAll();
}
addEventListener('online', () => watchServer());
addEventListener('offline', () => { reached = false; drawAll() });
document.addEventListener('visibilitychange', () => document.hidden || watchServer());
