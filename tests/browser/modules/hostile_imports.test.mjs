import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  importFile,
  importTexts,
  importWords,
  MAX_IMPORT_BYTES,
} from '../../../ollama_backend/surfaces/gradio_app/browser/formats/import.js';
import { zip } from './support/archive.mjs';
import { NOW, origin, shown } from './support/origin.mjs';
import './support/platform.mjs';

const read = (...values) =>
  importTexts(
    values.map((value) => JSON.stringify(value)),
    origin(),
  );
const one = async (value) => (await read([value])).list[0];

test('circles, strangers and doubles: every message once, in a sound tree', async () => {
  const message = (id, parent, role, text) => ({ id, parent, role, text });
  const incoming = await one({
    head: 'b',
    messages: [
      message('a', 'b', 'user', 'A'),
      message('b', 'a', 'assistant', 'B'),
      message('a', null, 'user', 'double'),
      message('self', 'self', 'user', 'S'),
      message('orphan', 'nowhere', 'user', 'O'),
      message('__proto__', null, 'user', 'P'),
      message('child', '__proto__', 'assistant', 'C'),
      message('x', 'a', 'system', 'gone'),
      message('y', 'x', 'assistant', 'Y'),
    ],
  });
  const { messages } = incoming;
  const places = new Map(messages.map((found, i) => [found.id, i]));
  assert.ok(
    messages.every(({ parent }, i) => parent === null || places.get(parent) < i),
    'parents stand before',
  );
  const parentOf = (text) =>
    messages.find((found) => found.id === messages.find((other) => other.text === text)?.parent)?.text;
  assert.deepEqual(messages.map(({ text }) => text).sort(), ['A', 'B', 'C', 'O', 'P', 'S', 'Y']);
  assert.deepEqual([parentOf('C'), parentOf('Y')], ['P', 'A']);
});

test('values of wrong types are left out, what is sound stays', async () => {
  const incoming = await one({
    title: { evil: 1 },
    at: 'yesterday',
    created: -5,
    pinned: 'yes',
    model: 7,
    system: [],
    think: 'loud',
    options: { temperature: 'hot', seed: 1, num_ctx: 9, constructor: 3 },
    messages: [
      {
        role: 'user',
        text: '  Hello\u202e\n there  ',
        images: ['https://evil.example/x.png', 'data:image/svg+xml;base64,AAAA', 'data:image/png;base64,A"><script>'],
        files: 'x',
      },
      {
        role: 'assistant',
        text: 'half \ud800 pair',
        thinking: 5,
        stats: { tokens: 3, __proto__: 1, 'a b': 2, deep: {} },
        end: 'exploded',
        html: '<script>',
      },
      { role: 'admin', text: 'no' },
      null,
      7,
      'x',
      [],
    ],
  });
  const { id: _, head: __, ...rest } = incoming.conversation;
  assert.deepEqual(rest, { title: 'Hello there', named: true, created: NOW, at: NOW, options: { seed: 1 } });
  const [question, answer] = incoming.messages;
  assert.deepEqual([question.images, question.files, incoming.pictures.size], [undefined, undefined, 0]);
  assert.deepEqual(
    [answer.text, answer.stats, answer.end, answer.thinking, answer.html],
    ['half \ufffd pair', { tokens: 3 }, 'done', undefined, undefined],
  );
});

test('titles are short lines of text, HTML in them stays text', async () => {
  const title = `<img src=x onerror=alert(1)>${'\n'.repeat(50)}\u2066${'x'.repeat(200)}`;
  const incoming = await one({ title, messages: [{ role: 'user', text: 'Hi' }] });
  assert.equal(incoming.conversation.title, `<img src=x onerror=alert(1)> ${'x'.repeat(200)}`.slice(0, 60));
});

test('whatever stands in a file: honest counts, never an error', async () => {
  const odd = [
    null,
    0,
    '',
    'text',
    [],
    {},
    { messages: 5 },
    { mapping: [] },
    { mapping: { a: null, b: 5 } },
    { chat: 5 },
    { chat: {} },
    { chat: { history: { messages: { a: [] } } } },
    { mapping: { a: { message: { author: 'x', content: 5 } } } },
    { messages: [{ role: 'user' }] },
    { messages: [[]] },
  ];
  const report = await read([...odd, { messages: [{ role: 'user', text: 'sound' }] }]);
  assert.deepEqual([report.list.length, report.total], [1, odd.length + 1]);
  for (const text of [
    '',
    'null',
    '7',
    '"x"',
    '[]',
    '{}',
    '{"conversations": 5}',
    '{"conversations": [null]}',
    'not json',
    '['.repeat(100_000),
    '# Only a heading',
  ]) {
    const found = await importTexts([text], origin());
    assert.equal(found.list.length, 0, text.slice(0, 20));
    assert.equal(importWords(found).key, 'import.unreadable');
  }
});

test('files that are no text, too large, or archives without conversations are said to be so', async () => {
  assert.equal(
    (await importFile({ size: MAX_IMPORT_BYTES + 1, arrayBuffer: () => assert.fail('was loaded') }, origin())).problem,
    'import.tooLarge',
  );
  for (const content of [
    new Uint8Array([0, 1, 2]),
    zip({ a: 'x' }),
    zip({ 'conversations.json': 'x' }).subarray(0, 40),
  ]) {
    assert.equal((await importFile(new Blob([content]), origin())).problem, 'import.unreadable');
  }
  const folder = { size: 1, arrayBuffer: () => Promise.reject(new Error('NotReadableError')) };
  assert.equal((await importFile(folder, origin())).problem, 'import.unreadable');
});

test('the words count what came in and what did not', () => {
  const words = (read, total) => importWords({ list: Array.from({ length: read }), total });
  assert.deepEqual(words(14, 14), { key: 'import.all', values: { count: 14 } });
  assert.deepEqual(words(12, 14), { key: 'import.some', values: { read: 12, total: 14, count: 2 } });
  assert.equal(words(0, 3).key, 'import.unreadable');
});

test('large files are read in time that grows with them, and others run meanwhile', async () => {
  const chain = Array.from({ length: 20_000 }, (_, i) => ({
    id: `${i}`,
    parent: i ? `${i - 1}` : null,
    role: i % 2 ? 'assistant' : 'user',
    text: 'x',
  }));
  const flat = Array.from({ length: 20_000 }, (_, i) => ({ id: `${i}`, parent: null, role: 'user', text: 'x', at: 5 }));
  const oneRole = Array.from({ length: 20_000 }, (_, i) => ({
    id: `${i}`,
    parent: i ? `${i - 1}` : null,
    role: 'user',
    text: 'ten letters',
    images: ['data:image/png;base64,AAAA'],
  }));
  const hostile = [
    '\ue200'.repeat(300_000),
    '【1†'.repeat(100_000),
    '<details type="reasoning">'.repeat(30_000),
    `${'\n'.repeat(300_000)}x`,
    `${' '.repeat(300_000)}x`,
  ];
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const many = Array.from({ length: 500 }, () => ({ messages: [{ role: 'user', text: 'x' }] }));
  const gptNodes = (text) => ({
    mapping: { q: { message: { author: { role: 'user' }, content: { content_type: 'text', parts: [text] } } } },
  });
  const report = await read([
    { messages: chain },
    { messages: flat },
    { messages: oneRole },
    ...many,
    ...hostile.map(gptNodes),
    ...hostile.map((content) => ({ chat: { messages: [{ role: 'assistant', content }] } })),
  ]);
  clearInterval(timer);
  assert.ok(report.list.length >= 510 && turns >= 5);
  assert.equal(shown(report.list[0]).length, 20_000);
  assert.equal(new Set(report.list[1].messages.map(({ at }) => at)).size, 20_000);
});
