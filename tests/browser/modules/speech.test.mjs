import assert from 'node:assert/strict';
import { test } from 'node:test';
import { languageOf } from '../../../ollama_backend/surfaces/gradio_app/browser/speech/language_guess.js';
import { spokenLine, spokenParts } from '../../../ollama_backend/surfaces/gradio_app/browser/speech/plain.js';
import { Reader, voiceFor } from '../../../ollama_backend/surfaces/gradio_app/browser/speech/reader.js';
import { sentencesOf, split } from '../../../ollama_backend/surfaces/gradio_app/browser/speech/sentences.js';

const page = { language: 'en', t: (key) => key };
const spoken = (markdown) => sentencesOf(markdown, page).map(({ text }) => text);

test('marks are not spoken, links are read by their text', () => {
  const lines = {
    '**Bold**, *soft*, ~~gone~~ and __init__ or snake_case_name.': 'Bold, soft, gone and init or snake_case_name.',
    'See [the docs](https://x.org/a_b) and [that][1].': 'See the docs and that.',
    'At https://www.example.com/long/path?x=1#y or <https://a.org>.': 'At example.com or a.org.',
    'Use `a*b*c` and ``x`` here[^1].': 'Use a*b*c and x here.',
    'H<sub>2</sub>O costs $5, not $10 &amp; more.': 'H 2 O costs $5, not $10 & more.',
    'Then $E = mc^2$ and \\(x\\) follow.': 'Then and follow.',
    '2 * 3 * 4 = 24 \\* not emphasis': '2 * 3 * 4 = 24 * not emphasis',
    '![A cat](cat.png) sits.': 'A cat sits.',
  };
  for (const [line, wanted] of Object.entries(lines)) assert.equal(spokenLine(line), wanted);
});

test('headings, items, rows and quotes are sentences of their own', () => {
  const markdown =
    '# Title\nFirst line\nof a paragraph.\n\n- [x] done\n- open\n1. one\n> quoted\n\n' +
    '| a | b |\n|---|:-:|\n| 1 | 2\\|3 |\n\n---\n';
  assert.deepEqual(spoken(markdown), [
    'Title',
    'First line of a paragraph.',
    'done',
    'open',
    '1. one',
    'quoted',
    'a, b',
    '1, 2|3',
  ]);
});

test('code and formulas are announced, also while they are still open', () => {
  const markdown = 'Look:\n```js\nconst a = 1;\n\n```\nThen\n$$\nx = 1\n$$\nand\n\\[ y \\]\n~~~~\n~~~\nopen';
  assert.deepEqual(
    spokenParts(markdown).map(({ kind, text }) => text || kind),
    ['Look:', 'code', 'Then', 'formula', 'and', 'formula', 'code'],
  );
  assert.deepEqual(spoken('```\nx\n```'), ['speech.code']);
});

test('sentences are split as their language does, and long ones where one breathes', () => {
  assert.deepEqual(split('One. Two! Three?', 'en'), ['One.', 'Two!', 'Three?']);
  assert.deepEqual(split('一つ。二つ。', 'ja'), ['一つ。', '二つ。']);
  const long = split(`${'word and more, '.repeat(60)}end.`, 'en');
  assert.ok(
    long.every((sentence) => sentence.length <= 250) && long.slice(0, -1).every((sentence) => sentence.endsWith(',')),
  );
  assert.equal(split('x'.repeat(1000), 'en').join(''), 'x'.repeat(1000));
  assert.deepEqual(split('… — !', 'en'), []);
});

test('the language is guessed by script and common words', () => {
  const texts = {
    en: 'This is a sentence that you can read, and it is not long.',
    de: 'Das ist ein Satz, den man lesen kann, und er ist nicht lang.',
    fr: 'Voici une phrase que vous pouvez lire et qui est dans la langue.',
    es: 'Esta es una frase que se puede leer y no es muy larga para los ojos.',
    pt: 'Esta é uma frase que você pode ler e não é muito longa para os olhos.',
    ja: '東京の天気は晴れです。',
    zh: '今天北京的天气很好。',
    ko: '오늘 날씨가 좋습니다.',
    ar: 'هذا نص عربي قصير.',
    fa: 'این یک متن فارسی است و چند گزینه دارد.',
    hi: 'यह एक वाक्य है।',
    ru: 'Это предложение.',
    uk: 'Це речення її.',
  };
  for (const [language, text] of Object.entries(texts)) assert.equal(languageOf(text, 'xx'), language);
  for (const text of ['', '123 $%', 'Hello', 'foo(bar) baz.qux(); let quux = corge + grault + garply;'])
    assert.equal(languageOf(text, 'xx'), 'xx');
});

test('a paragraph in another language has its own voice', () => {
  const found = sentencesOf('This is the English part of the text, and it is long.\n\nمرحبا بالعالم\n\nOK', page);
  assert.deepEqual(
    found.map(({ language }) => language),
    ['en', 'ar', 'en'],
  );
});

test('only voices of the device are used', () => {
  const voice = (lang, localService, isDefault = false) => ({ lang, localService, default: isDefault });
  const voices = [voice('en-US', false, true), voice('en-GB', true), voice('en_US', true), voice('de-DE', false)];
  assert.equal(voiceFor(voices, 'en-US'), voices[2]);
  assert.equal(voiceFor(voices, 'en'), voices[1]);
  assert.equal(voiceFor(voices, 'de'), null);
});

class Utterance extends EventTarget {
  constructor(text) {
    super();
    this.text = text;
  }
}

/** A speech engine that ends an utterance when a test says so. */
function engine(voices) {
  const queue = [];
  const synthesis = {
    speak: (utterance) => queue.push(utterance),
    cancel: () => {
      for (const utterance of queue.splice(0)) utterance.dispatchEvent(new Event('error'));
    },
    getVoices: () => voices,
    addEventListener: (_, listener) => {
      voices.push({ lang: 'en', localService: true });
      setTimeout(listener);
    },
  };
  return { queue, synthesis, Utterance };
}
const turn = () => new Promise((resolve) => setTimeout(resolve));
const en = (text) => ({ text, language: 'en' });

test('sentences are spoken one after the other, after the voices have come', async () => {
  const speech = engine([]);
  const places = [];
  const reading = new Reader(speech).read([en('One.'), { text: 'x', language: 'de' }, en('Two.')], (at) =>
    places.push(at),
  );
  for (const wanted of ['One.', 'Two.']) {
    while (!speech.queue.length) await turn();
    const utterance = speech.queue.shift();
    assert.equal(utterance.text, wanted);
    utterance.dispatchEvent(new Event('end'));
  }
  assert.equal(await reading, 'read');
  assert.deepEqual(places, [0, 2]);
});

test('stop and a new text end what is being read', async () => {
  const speech = engine([{ lang: 'en', localService: true }]);
  const reader = new Reader(speech);
  const first = reader.read([en('One.'), en('Never.')]);
  while (!speech.queue.length) await turn();
  const second = reader.read([en('Two.')]);
  assert.equal(await first, 'stopped');
  while (!speech.queue.length) await turn();
  reader.stop();
  assert.deepEqual([await second, speech.queue.length], ['stopped', 0]);
  assert.equal(await reader.read([{ text: 'x', language: 'de' }]), 'noVoice');
});
