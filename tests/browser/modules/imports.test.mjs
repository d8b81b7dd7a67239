import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importFile, importTexts } from '../../../ollama_backend/surfaces/gradio_app/browser/formats/import.js';
import { zip } from './support/archive.mjs';
import { origin, shown } from './support/origin.mjs';
import './support/platform.mjs';

const read = (...values) =>
  importTexts(
    values.map((value) => JSON.stringify(value)),
    origin(),
  );
const one = async (value) => (await read([value])).list[0];

const gpt = (id, parent, role, parts, more = {}) => ({
  [id]: {
    id,
    parent,
    children: [],
    message: {
      id,
      author: { role },
      create_time: 1_700_000_000.5,
      recipient: 'all',
      content: { content_type: 'text', parts },
      metadata: {},
      ...more,
    },
  },
});
const CHATGPT = {
  title: 'Trip',
  create_time: 1_700_000_000,
  update_time: 1_700_000_500,
  current_node: 'a4',
  mapping: {
    root: { id: 'root', parent: null, children: ['s'], message: null },
    ...gpt('s', 'root', 'system', ['']),
    ...gpt('q1', 's', 'user', ['Where to?']),
    ...gpt('a1', 'q1', 'assistant', ['Rome \ue200cite\ue202turn0search1\ue201【4†source】.'], {
      metadata: { model_slug: 'gpt-5' },
    }),
    ...gpt('q2', 's', 'user', ['Where to, and when?']),
    ...gpt('t2', 'q2', 'assistant', [], {
      content: { content_type: 'thoughts', thoughts: [{ summary: 'Plan', content: 'Think.' }] },
    }),
    ...gpt('c2', 't2', 'assistant', [], { recipient: 'python', content: { content_type: 'code', text: 'x' } }),
    ...gpt('o2', 'c2', 'tool', ['out']),
    ...gpt('a3', 'o2', 'assistant', ['Paris,']),
    ...gpt('a4', 'a3', 'assistant', ['in May.']),
    ...gpt('h', 'a4', 'user', ['hidden'], { metadata: { is_visually_hidden_from_conversation: true } }),
    ...gpt('p', 'a4', 'user', [], {
      content: { content_type: 'multimodal_text', parts: [{ content_type: 'image_asset_pointer' }, 'And this?'] },
    }),
  },
};

test('ChatGPT: the tree becomes alternatives, tools and hidden messages go, thoughts are kept', async () => {
  const incoming = await one(CHATGPT);
  assert.deepEqual(shown(incoming), ['user: Where to, and when?', 'assistant: Paris,\n\nin May.']);
  const texts = incoming.messages.map(({ text }) => text);
  assert.ok(
    texts.includes('Where to?') &&
      texts.includes('Rome .') &&
      texts.includes('[picture]\n\nAnd this?') &&
      !texts.includes('hidden'),
  );
  const answer = incoming.messages.find(({ text }) => text.startsWith('Paris'));
  assert.equal(answer.thinking, 'Plan\nThink.');
  assert.equal(incoming.messages.find(({ text }) => text === 'Rome .').model, 'gpt-5');
  const { title, created, at } = incoming.conversation;
  assert.deepEqual([title, created, at], ['Trip', 1_700_000_000_000, 1_700_000_500_000]);
});

test('ChatGPT: the archive is read as it comes, in one file or in many', async () => {
  const archive = zip({
    'chat.html': '<html>',
    'conversations-000.json': JSON.stringify([CHATGPT]),
    'x/conversations-001.json': JSON.stringify([CHATGPT, 7]),
  });
  const report = await importFile(new Blob([archive]), origin());
  assert.deepEqual([report.list.length, report.total], [2, 3]);
});

test('Open WebUI: the tree, thinking, pictures and the pin', async () => {
  const node = (id, parentId, role, content, more) => ({
    [id]: { id, parentId, childrenIds: [], role, content, timestamp: 1_700_000_000, ...more },
  });
  const thinking =
    '<details type="reasoning" done="true" duration="7">\n<summary>Thought for 7 seconds</summary>\n' +
    '&gt; One &lt;b&gt;\n> Two\n</details>\n';
  const incoming = await one({
    id: 'x',
    title: 'Cats',
    updated_at: 1_700_000_100,
    created_at: 1_700_000_000,
    pinned: true,
    chat: {
      title: 'x',
      system: 'Be kind.',
      history: {
        currentId: 'a2',
        messages: {
          ...node('q', null, 'user', 'Why?', {
            files: [
              { type: 'image', url: 'data:image/png;base64,AAAA' },
              { type: 'file', url: 'javascript:x' },
            ],
          }),
          ...node('a1', 'q', 'assistant', 'Because.', { model: 'llama3.2:3b' }),
          ...node('a2', 'q', 'assistant', `${thinking}They <details><summary>more</summary>purr</details>.`, {
            error: { content: 'Cut off' },
          }),
        },
      },
    },
  });
  assert.deepEqual(shown(incoming), ['user: Why?', 'assistant: They <details><summary>more</summary>purr</details>.']);
  const [question, first, second] = incoming.messages;
  assert.deepEqual(
    [second.thinking, second.thought, second.error, first.model],
    ['One <b>\nTwo', 7, 'Cut off', 'llama3.2:3b'],
  );
  assert.equal(incoming.pictures.get(question.images[0]), 'data:image/png;base64,AAAA');
  assert.deepEqual([incoming.conversation.pinned, incoming.conversation.system], [true, 'Be kind.']);
});

test('Open WebUI: an old conversation without a tree', async () => {
  const incoming = await one({
    title: 'Old',
    chat: {
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: 'Ho' },
      ],
    },
  });
  assert.deepEqual(shown(incoming), ['user: Hi', 'assistant: Ho']);
});
