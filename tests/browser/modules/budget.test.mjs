import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  costWords,
  estimateTokens,
  FIRST_RATIO,
  freeTokens,
  learnRatio,
  learnSpeed,
  readingSeconds,
  roundAbout,
} from '../../../ollama_backend/surfaces/gradio_app/browser/files/budget.js';

test('tokens are characters by the ratio, Chinese, Japanese and Korean count one each', () => {
  assert.equal(estimateTokens('x'.repeat(360)), 100);
  assert.equal(estimateTokens('x'.repeat(400), 4), 100);
  assert.equal(estimateTokens('世界こんにちは안녕'), 9);
  assert.equal(estimateTokens('𠀀𠀁'), 2);
  assert.equal(estimateTokens('世界 and more'), Math.ceil(2 + 9 / FIRST_RATIO));
  assert.equal(estimateTokens(''), 0);
});

test('a model has its own ratio after its first long prompt, and moves slowly then', () => {
  const prompt = 'x'.repeat(4000);
  assert.equal(learnRatio(undefined, 'short', 3), FIRST_RATIO);
  assert.equal(learnRatio(undefined, prompt, 1000), 4);
  const second = learnRatio(4, prompt, 2000);
  assert.ok(second < 4 && second > 3);
  assert.equal(learnRatio(undefined, prompt, 1), 6, 'a count of only what was not cached is bounded');
  assert.equal(learnRatio(undefined, prompt, 0), FIRST_RATIO);
});

test('the reading time comes from the slowest of the last five speeds', () => {
  let speeds = learnSpeed([], 50, 1);
  assert.deepEqual(speeds, [], 'a short prompt says nothing');
  assert.equal(readingSeconds(6000, speeds), null);
  for (const seconds of [10, 100, 10, 10, 10, 10, 10]) speeds = learnSpeed(speeds, 2000, seconds);
  assert.deepEqual(speeds, [200, 200, 200, 200, 200]);
  assert.equal(readingSeconds(6000, [200, 20]), 300);
  assert.deepEqual(learnSpeed([20], 2000, 0), [20]);
});

test('free is the context without system, history and the reply', () => {
  const now = { context: 8192, system: 'x'.repeat(360), history: 'x'.repeat(3600), thinks: false };
  assert.equal(freeTokens(now), 8192 - 1024 - 100 - 1000);
  assert.equal(freeTokens({ ...now, thinks: true }), 8192 - 2048 - 100 - 1000);
  assert.equal(freeTokens({ ...now, history: 'x'.repeat(99_999) }), 0);
  assert.equal(freeTokens({ context: 2048, system: '', history: '', thinks: true }), 1536, 'a small context is shared');
});

test('estimates are shown with two or three figures', () => {
  assert.deepEqual(
    [0, 84, 842, 3127, 6449, 31_270, 128_900].map(roundAbout),
    [0, 84, 840, 3100, 6400, 31_000, 130_000],
  );
});

test('the words say what it costs, and the time where it is worth saying', () => {
  const keys = (cost) => costWords(cost).map(({ key }) => key);
  assert.deepEqual(keys({ tokens: 3127, free: 6449, seconds: 180 }), ['file.cost', 'file.readingTime']);
  assert.deepEqual(keys({ tokens: 31, free: 6449, seconds: 1 }), ['file.cost']);
  assert.deepEqual(keys({ tokens: 9000, free: 6449, seconds: 500 }), ['file.costTooMuch']);
  assert.deepEqual(costWords({ tokens: 3127, free: 6449, seconds: null })[0].values, { tokens: 3100, free: 6400 });
});
