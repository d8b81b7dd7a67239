import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shareUsed, wasCut } from '../../../ollama_backend/surfaces/gradio_app/browser/context_use.js';
import { ending, newLive, speedOf, updated } from '../../../ollama_backend/surfaces/gradio_app/browser/live.js';
import { eventsOf, yieldedValue } from '../../../ollama_backend/surfaces/gradio_app/browser/server/events.js';

const NOW = 1_000_000;
const live = (...updates) =>
  updates.reduce((now, update) => updated(now, update, NOW), newLive('a', 'c', NOW, { content: 'kept' }));

test('what an earlier page has kept stays until the server sends everything', () => {
  assert.equal(live().content.text, 'kept');
  assert.equal(live({ n: 0, state: 'unknown' }).content.text, 'kept');
  assert.equal(live({ n: 0, whole: true, state: 'writing', content: { text: 'new' } }).content.text, 'new');
});

test('updates add what is new', () => {
  const first = {
    n: 0,
    whole: true,
    state: 'writing',
    since: 2,
    content: { text: 'One **tw', tail: [0, '<p>One **tw</p>'] },
    tokens: 2,
    seconds: 4,
  };
  const next = live(first, { n: 1, content: { text: 'o**', tail: [7, '<b>two</b></p>'], append: 'x' } });
  assert.equal(next.content.text, 'One **two**');
  assert.equal(next.content.tail, '<p>One <b>two</b></p>');
  assert.equal(next.content.appended, 'x');
  assert.equal(next.since, NOW - 2000);
  const last = updated(next, { n: 2, content: { blocks: ['<p>done</p>'], tail: [0, ''] } }, NOW);
  assert.deepEqual([last.content.blocks, last.content.tail, last.content.appended], [['<p>done</p>'], '', '']);
  assert.deepEqual(updated(last, { n: 3, content: { restart: true, blocks: ['<p>again</p>'] } }, NOW).content.blocks, [
    '<p>again</p>',
  ]);
});

test('a tail is counted in the units of JavaScript', () => {
  const shown = live(
    { n: 0, whole: true, state: 'writing', content: { tail: [0, '<p>😀a'] } },
    { n: 1, content: { tail: [5, 'b'] } },
  );
  assert.equal(shown.content.tail, '<p>😀b');
});

test('an answer that is followed anew is not doubled', () => {
  const whole = { n: 0, whole: true, state: 'writing', content: { text: 'all', blocks: ['<p>all</p>'] } };
  const twice = live(whole, whole);
  assert.equal(twice.content.text, 'all');
  assert.deepEqual(twice.content.blocks, ['<p>all</p>']);
  assert.ok(twice.content.restarts > live(whole).content.restarts);
});

test('how an answer ended', () => {
  const now = live({ n: 0, whole: true, state: 'writing', content: { text: 'text' } });
  const of = (update) => ending(now, update).end;
  assert.equal(of({ state: 'done' }), 'done');
  assert.equal(of({ state: 'stopped', stop_reason: 'stop' }), 'stopped');
  assert.equal(of({ state: 'stopped', stop_reason: 'left' }), 'interrupted');
  assert.equal(of({ state: 'unknown' }), 'interrupted');
  assert.equal(of({ state: 'failed', code: 'shutting_down' }), 'interrupted');
  assert.equal(of({ state: 'failed', code: 'interrupted' }), 'interrupted');
  assert.deepEqual(ending(now, { state: 'failed', code: 'x', error: 'why' }), {
    text: 'text',
    end: 'failed',
    code: 'x',
    error: 'why',
  });
});

test('the speed is that since the first token', () => {
  const at = live({ n: 0, whole: true, state: 'writing', tokens: 100, seconds: 4 });
  assert.equal(speedOf(at, NOW), 25);
  assert.equal(speedOf(live(), NOW), 0);
});

test('whether the beginning of a prompt was left out', () => {
  assert.equal(wasCut({ estimated: 9000, read: 2052, context: 4096 }), true);
  assert.equal(wasCut({ estimated: 4300, read: 4000, context: 4096 }), false);
  assert.equal(wasCut({ estimated: 9000, read: 9000, context: 16384 }), false);
  assert.equal(wasCut({ estimated: 9000, read: undefined, context: 4096 }), false);
  assert.equal(shareUsed({ stats: { prompt_tokens: 900, tokens: 124 }, context: 4096 }), 0.25);
  assert.equal(shareUsed({ stats: {}, context: 4096 }), 0);
});

const streamOf = (...parts) =>
  new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
      controller.close();
    },
  });

test('events come out of a stream however it is cut', async () => {
  const whole = 'data: {"msg":"a","text":"é😀"}\n\n: comment\n\ndata: {"msg":"b"}\n\n';
  const bytes = new TextEncoder().encode(whole);
  for (let cut = 1; cut < bytes.length; cut += 3) {
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes.slice(0, cut));
        controller.enqueue(bytes.slice(cut));
        controller.close();
      },
    });
    const found = [];
    for await (const event of eventsOf(stream)) found.push(event);
    assert.deepEqual(found, [{ msg: 'a', text: 'é😀' }, { msg: 'b' }]);
  }
});

test('every piece of a stream is heard, also one that is no event', async () => {
  let heard = 0;
  for await (const _ of eventsOf(streamOf(': alive\n', '\n', 'data: {}\n\n'), () => heard++));
  assert.equal(heard, 3);
});

test('the value of an update is the whole first one, or what replaces it', () => {
  const message = (value) => ({ output: { data: [value] } });
  assert.deepEqual(yieldedValue(message('{"n":0}')), { n: 0 });
  assert.deepEqual(yieldedValue(message([['replace', [], '{"n":1}']])), { n: 1 });
  assert.equal(yieldedValue(message([])), undefined);
  assert.equal(yieldedValue({}), undefined);
});
