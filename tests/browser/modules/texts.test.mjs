import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyIn } from '../../../ollama_backend/surfaces/gradio_app/browser/chat/keys.js';
import { excerptOf, folded } from '../../../ollama_backend/surfaces/gradio_app/browser/excerpts.js';
import { isId, newId } from '../../../ollama_backend/surfaces/gradio_app/browser/ids.js';
import { linkParts } from '../../../ollama_backend/surfaces/gradio_app/browser/view/links.js';

const links = (text) => linkParts(text).flatMap((part) => (typeof part === 'string' ? [] : [part.href]));

test('addresses in a message become links, without the punctuation after them', () => {
  assert.deepEqual(links('see https://a.example/x, and (http://b.example).'), [
    'https://a.example/x',
    'http://b.example',
  ]);
  assert.deepEqual(links('https://a.example/f_(x)'), ['https://a.example/f_(x)']);
  assert.deepEqual(links('[https://a.example/?q=[1]]'), ['https://a.example/?q=[1]']);
  assert.deepEqual(links('javascript:alert(1) ftp://a.example https:// http://'), []);
  assert.deepEqual(links('<https://a.example>"https://b.example"'), ['https://a.example', 'https://b.example']);
});

test('the parts together are the text as it was typed', () => {
  for (const text of [
    '',
    'plain',
    'https://a.example',
    'a https://a.example/) b\n\thttps://c.example...',
    'https://\u202ea.b',
  ]) {
    assert.equal(
      linkParts(text)
        .map((part) => part.href ?? part)
        .join(''),
      text,
    );
  }
});

test('many addresses take no long time', () => {
  const began = performance.now();
  assert.equal(links(`${'https://a.example/((((((((((. '.repeat(20_000)}`).length, 20_000);
  assert.ok(performance.now() - began < 5000);
});

test('an excerpt shows a place in one line, whatever case it is written in', () => {
  assert.equal(excerptOf('The Needle\nis here', folded('NEEDLE')), 'The Needle is here');
  assert.equal(
    excerptOf(`${'a'.repeat(100)} needle ${'b'.repeat(100)}`, 'needle'),
    `…${'a'.repeat(39)} needle ${'b'.repeat(39)}…`,
  );
  assert.equal(excerptOf('cafe\u0301', folded('CAFÉ')), 'cafe\u0301');
  assert.equal(excerptOf('nothing', 'needle'), null);
});

test('a link is as good as the key that it brings', () => {
  assert.equal(keyIn('  abc '), 'abc');
  assert.equal(keyIn('https://you-space.hf.space/#key=a%2Bb'), 'a+b');
  assert.equal(keyIn('http://localhost:7860/x?y#c=1&key=abc'), 'abc');
  assert.equal(keyIn('https://a.example/#other'), 'https://a.example/#other');
  assert.equal(keyIn('#key=abc'), '#key=abc');
});

test('ids are 32 hexadecimal digits, and no two are alike', () => {
  assert.ok(isId(newId()));
  assert.equal(new Set(Array.from({ length: 1000 }, newId)).size, 1000);
  assert.ok(!isId('g'.repeat(32)) && !isId('') && !isId(`${'a'.repeat(32)}\n`));
});
