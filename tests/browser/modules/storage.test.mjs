import assert from 'node:assert/strict';
import { test } from 'node:test';
import { convertEarlier, readEarlier } from '../../../ollama_backend/surfaces/gradio_app/browser/storage/earlier.js';
import { WebStorage } from '../../../ollama_backend/surfaces/gradio_app/browser/storage/web_storage.js';
import { branch } from '../../../ollama_backend/surfaces/gradio_app/browser/tree.js';

const area = () => {
  const kept = new Map();
  return {
    kept,
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => kept.set(name, value),
    removeItem: (name) => kept.delete(name),
  };
};
const storage = (on = area()) => new WebStorage(on, () => [...on.kept.keys()], 'localStorage');

test('records are kept under their store and key, and listed by the beginning of a key', async () => {
  const records = storage();
  await records.write([
    { store: 'messages', key: 'b/2', value: { id: 2 } },
    { store: 'messages', key: 'a/1', value: { id: 1 } },
    { store: 'messages', key: 'a/0', value: { id: 0 } },
    { store: 'parts', key: 'a/1', value: { id: 9 } },
  ]);
  assert.deepEqual(await records.list('messages', 'a/'), [{ id: 0 }, { id: 1 }]);
  assert.deepEqual(await records.read('messages', ['b/2', 'gone']), [{ id: 2 }, undefined]);
  await records.update('messages', 'a/1', (stored) => ({ ...stored, more: true }));
  await records.write([{ store: 'messages', key: 'a/0' }]);
  assert.deepEqual(await records.list('messages', 'a/'), [{ id: 1, more: true }]);
  const seen = [];
  await records.each('messages', ({ id }) => seen.push(id) < 1);
  assert.deepEqual(seen, [1]);
});

test('what others have put there does no harm', async () => {
  const on = area();
  on.setItem('chat.messages/a/1', '{broken');
  on.setItem('unrelated', 'x');
  assert.deepEqual(await storage(on).list('messages'), [undefined]);
});

const OLD = {
  'chat.index': [{ id: 'c1', title: 'Title', at: 5000, named: true }, { id: 'c2', title: 'Other', at: 1000 }, null],
  'chat.c.c1': {
    messages: [
      { role: 'user', text: 'hello', turn: 'x' },
      { role: 'assistant', text: 'hi', thinking: 'hm', end: 'done', stats: { tokens: 3 } },
      { role: 'user', text: 'more', turn: 'f'.repeat(32) },
    ],
    turn: { id: 'f'.repeat(32), seen: true, text: 'more' },
  },
  [`chat.p.${'f'.repeat(32)}`]: { thinking: '', content: 'so far' },
};

test('conversations of the earlier page become trees with one branch', () => {
  let number = 0;
  const [first, second] = readEarlier(
    (name) => OLD[name] ?? null,
    () => `m${number++}`,
  );
  const path = branch(new Map(first.messages.map((each) => [each.id, each])), first.conversation.head);
  assert.deepEqual(
    path.map(({ role, text }) => [role, text]),
    [
      ['user', 'hello'],
      ['assistant', 'hi'],
      ['user', 'more'],
      ['assistant', ''],
    ],
  );
  assert.equal(path[1].thinking, 'hm');
  assert.equal(path.at(-1).end, 'running');
  assert.deepEqual(first.parts, [{ thinking: '', content: 'so far', id: 'f'.repeat(32), conversation: 'c1' }]);
  assert.deepEqual([first.conversation.title, first.conversation.named, first.conversation.at], ['Title', true, 5000]);
  assert.deepEqual([second.messages, second.conversation.head, second.parts], [[], null, []]);
});

test('a browser without earlier conversations has none', () => {
  assert.deepEqual(
    readEarlier(
      () => null,
      () => 'x',
    ),
    [],
  );
  assert.deepEqual(convertEarlier({ id: 'a', title: 't', at: 1 }, {}, null, () => 'x').messages, []);
});
