import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importTexts } from '../../../ollama_backend/surfaces/gradio_app/browser/formats/import.js';
import { asMarkdown } from '../../../ollama_backend/surfaces/gradio_app/browser/formats/markdown.js';
import { asJson } from '../../../ollama_backend/surfaces/gradio_app/browser/formats/own_json.js';
import { NOW, origin, shown } from './support/origin.mjs';

const PICTURE = 'data:image/png;base64,iVBORw0KGgo=';
const CONVERSATION = {
  id: 'c'.repeat(32),
  title: 'Title',
  named: true,
  created: NOW - 5000,
  at: NOW - 1000,
  head: 'a2',
  pinned: true,
  model: 'qwen3:4b',
  system: 'Be brief.',
  think: false,
  options: { temperature: 0.5, seed: 3 },
};
const row = (id, parent, role, text, more = {}) => ({
  id,
  parent,
  role,
  text,
  conversation: CONVERSATION.id,
  at: NOW - 4000 + Number(id[1]) * 10,
  ...more,
});
const MESSAGES = [
  row('q0', null, 'user', 'Question <b>\u2028 # not a title', {
    images: ['p1', 'lost'],
    files: [{ name: 'a.txt', kind: 'whole', text: 'file text', tokens: 3 }],
  }),
  row('a1', 'q0', 'assistant', 'First answer', {
    model: 'qwen3:4b',
    thinking: 'Hm.',
    thought: 2.5,
    stats: { tokens: 12, reason: 'stop' },
    end: 'stopped',
    error: 'Stopped.',
  }),
  row('a2', 'q0', 'assistant', 'Second answer', { end: 'done' }),
];
const OUTGOING = { conversation: CONVERSATION, messages: MESSAGES, pictures: new Map([['p1', PICTURE]]) };
const read = async (...texts) => importTexts(texts, origin());

test('what goes out as JSON comes in again: alternatives, pictures, files, settings, statistics', async () => {
  const { list, total } = await read(asJson([OUTGOING], NOW));
  assert.equal(total, 1);
  const [{ conversation, messages, pictures }] = list;
  const { id, head, ...settings } = conversation;
  const { id: _, head: __, ...wanted } = CONVERSATION;
  assert.deepEqual(settings, wanted);
  const [question, first, second] = messages;
  assert.deepEqual([...pictures], [[question.images[0], PICTURE]]);
  assert.equal(head, second.id);
  const plain = ({ role, text, at, files, model, thinking, thought, stats, end, error }) => ({
    role,
    text,
    at,
    files,
    model,
    thinking,
    thought,
    stats,
    end,
    error,
  });
  assert.deepEqual(messages.map(plain), MESSAGES.map(plain));
  assert.deepEqual([question.parent, first.parent, second.parent], [null, question.id, question.id]);
  assert.ok(messages.every((message) => message.conversation === id && /^[0-9a-f]{32}$/.test(message.id)));
});

test('alternatives keep their order, whatever order the file has', async () => {
  const reversed = { ...OUTGOING, messages: [...MESSAGES].reverse() };
  const [{ messages }] = (await read(asJson([reversed], NOW))).list;
  assert.deepEqual(
    messages.map(({ text, at }) => [text, at]),
    MESSAGES.map(({ text, at }) => [text, at]),
  );
});

test('an answer that is being written goes out as interrupted', async () => {
  const running = { ...OUTGOING, messages: [MESSAGES[0], { ...MESSAGES[1], end: 'running' }] };
  assert.equal((await read(asJson([running], NOW))).list[0].messages[1].end, 'interrupted');
});

test('a damaged date does not stop an export', () => {
  const damaged = { ...OUTGOING, conversation: { ...CONVERSATION, at: Number.NaN, created: 1e20 } };
  assert.ok(JSON.parse(asJson([damaged], NOW)).conversations.length === 1);
});

test('files that this page wrote before are read', async () => {
  const old = {
    conversations: [
      {
        title: 'Old',
        at: '2025-01-02T03:04:05.000Z',
        messages: [
          { role: 'user', text: 'One' },
          { role: 'assistant', text: 'Two', thinking: 'Hm', model: 'guide' },
          { role: 'user', text: 'Three' },
        ],
      },
    ],
  };
  const { list } = await read(JSON.stringify(old));
  assert.deepEqual(shown(list[0]), ['user: One', 'assistant: Two', 'user: Three']);
  assert.equal(list[0].conversation.at, Date.UTC(2025, 0, 2, 3, 4, 5));
  assert.deepEqual([list[0].messages[1].thinking, list[0].messages[1].model], ['Hm', 'guide']);
});

test('a bare list of messages is a conversation', async () => {
  const { list } = await read(
    JSON.stringify([
      { role: 'system', content: 'x' },
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Ho' },
    ]),
  );
  assert.deepEqual(list.map(shown), [['user: Hi', 'assistant: Ho']]);
});

test('Markdown comes in as it went out, marks and headings in texts included', async () => {
  const text = '# Heading\n<!-- user -->\n\\<!-- assistant -->\n<!-- conversation -->\n```sh\n# comment\n```';
  const path = [row('q1', null, 'user', text), row('a1', 'q1', 'assistant', 'Fine.\n\n**Bold**', { model: 'guide' })];
  const written = asMarkdown(
    [
      { title: 'A # title', path },
      { title: 'Other', path },
    ],
    { you: 'You', assistant: 'Assistant' },
  );
  assert.ok(written.includes('\n# Heading\n') && written.includes('\n# comment\n') && written.includes('**guide**'));
  const { list } = await read(written);
  assert.deepEqual(
    list.map(({ conversation }) => conversation.title),
    ['A # title', 'Other'],
  );
  for (const incoming of list) assert.deepEqual(shown(incoming), [`user: ${text}`, 'assistant: Fine.\n\n**Bold**']);
});

test('Markdown that this page wrote before is read', async () => {
  const old =
    '# First\n\n<!-- user -->\n**You**\n\n\\# not a title\n\\<!-- user -->\n\n' +
    '<!-- assistant -->\n**guide**\n\nYes.\n\n# Second\n\n<!-- user -->\n**You**\n\nHi\n';
  const { list } = await read(old);
  assert.deepEqual(list.map(shown), [['user: # not a title\n<!-- user -->', 'assistant: Yes.'], ['user: Hi']]);
});
