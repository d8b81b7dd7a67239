import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messagesFor, titleFrom } from '../../../ollama_backend/surfaces/gradio_app/browser/history.js';
import { alternatives, branch, byParent, endOf } from '../../../ollama_backend/surfaces/gradio_app/browser/tree.js';

let clock = 0;
const message = (id, parent, role, text = id, more = {}) => ({ id, parent, role, text, at: clock++, ...more });
const tree = (...messages) => new Map(messages.map((each) => [each.id, each]));

const FORKED = tree(
  message('q1', null, 'user'),
  message('a1', 'q1', 'assistant'),
  message('q2', 'a1', 'user'),
  message('a2', 'q2', 'assistant'),
  message('a3', 'q2', 'assistant'),
  message('e2', 'a1', 'user'),
  message('a4', 'e2', 'assistant'),
);
const ids = (messages) => messages.map((each) => each.id);

test('a branch goes from the first message to its head', () => {
  assert.deepEqual(ids(branch(FORKED, 'a3')), ['q1', 'a1', 'q2', 'a3']);
  assert.deepEqual(branch(FORKED, null), []);
  assert.deepEqual(branch(FORKED, 'gone'), []);
});

test('a circle in a damaged store is no branch', () => {
  assert.deepEqual(branch(tree(message('x', 'y', 'user'), message('y', 'x', 'assistant')), 'x'), []);
});

test('what was replaced is an alternative to what replaced it', () => {
  assert.deepEqual(ids(alternatives(byParent(FORKED), FORKED.get('a3'))), ['a2', 'a3']);
  assert.deepEqual(ids(alternatives(byParent(FORKED), FORKED.get('e2'))), ['q2', 'e2']);
  assert.deepEqual(ids(alternatives(byParent(FORKED), FORKED.get('q1'))), ['q1']);
});

test('an alternative is shown to the end of its latest branch', () => {
  assert.equal(endOf(byParent(FORKED), 'q2'), 'a3');
  assert.equal(endOf(byParent(FORKED), 'e2'), 'a4');
  assert.equal(endOf(byParent(FORKED), 'a4'), 'a4');
});

test('what a model is sent alternates, also after an answer without a word', () => {
  const path = [
    message('a', null, 'user', 'first', { images: ['one'] }),
    message('b', 'a', 'assistant', '', { thinking: 'hm', end: 'stopped' }),
    message('c', 'b', 'user', 'second', { images: ['two'] }),
    message('d', 'c', 'assistant', 'answer'),
    message('e', 'd', 'user', 'third'),
  ];
  assert.deepEqual(messagesFor(path), [
    { role: 'user', content: 'first\n\nsecond', images: ['one', 'two'] },
    { role: 'assistant', content: 'answer' },
    { role: 'user', content: 'third' },
  ]);
  assert.deepEqual(messagesFor(path.slice(3)), [{ role: 'user', content: 'third' }]);
});

test('files are sent with the message that brought them', () => {
  const path = [message('a', null, 'user', 'sum up', { files: [{ name: 'x.txt', text: 'long' }] })];
  const wrap = (each) => `${each.files.map((file) => file.text).join()} ${each.text}`;
  assert.deepEqual(messagesFor(path, wrap), [{ role: 'user', content: 'long sum up' }]);
});

test('a title is the beginning of the text in one line, cut at a letter and not within one', () => {
  assert.equal(titleFrom('  Hello\n\n  world '), 'Hello world');
  assert.equal(titleFrom('a\u202eb'), 'ab');
  assert.equal(titleFrom('👩'.repeat(100)), `${'👩'.repeat(59)}…`);
});
