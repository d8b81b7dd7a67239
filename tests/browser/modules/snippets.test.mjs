import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEY_PLACEHOLDER, snippets } from '../../../ollama_backend/surfaces/gradio_app/browser/code/snippets.js';

const SERVER = { url: 'https://me-chat.hf.space', model: 'qwen3:4b', key: KEY_PLACEHOLDER };

test('each names the server, the model and the key; only Python needs something installed', () => {
  const all = snippets(SERVER);
  assert.deepEqual(
    all.map(({ id }) => id),
    ['curl', 'ollama', 'openai', 'gradio', 'javascript'],
  );
  for (const { code, syntax, install } of all) {
    assert.ok(code.includes(SERVER.url) && code.includes('qwen3:4b') && code.includes('YOUR_KEY'), code);
    assert.equal(install.startsWith('pip install '), syntax === 'python');
  }
});

test('the address is that of the page: with its path prefix, without what stands behind it', () => {
  for (const url of ['https://x.org/chat/', 'https://x.org/chat/?__theme=dark#c=1', 'https://x.org/chat']) {
    const [curl, , openai] = snippets({ ...SERVER, url });
    assert.ok(curl.code.includes("'https://x.org/chat/chat_api'") && openai.code.includes('"https://x.org/chat/v1"'));
  }
});

test('no value can leave its quotes', () => {
  const evil = '\'"; $(reboot) `x` \\ \n\u2028\u0085';
  for (const { code, syntax } of snippets({ ...SERVER, model: evil, key: evil })) {
    assert.ok(!/[\u2028\u0085]/.test(code) || syntax === 'bash');
    if (syntax === 'bash') assert.ok(code.includes("'\\''"));
    else assert.ok(code.includes('\'\\"; $(reboot) `x` \\\\ \\n\\u2028\\u0085'), code);
  }
});
