import assert from 'node:assert/strict';
import { test } from 'node:test';
import { estimateTokens } from '../../../ollama_backend/surfaces/gradio_app/browser/files/budget.js';
import { citedText, contentsOf } from '../../../ollama_backend/surfaces/gradio_app/browser/files/compose.js';
import { factsOf, planOf, stored } from '../../../ollama_backend/surfaces/gradio_app/browser/files/plan.js';

const plain = (text, name = 'a.txt') => ({ name, kind: 'text', size: text.length, text });
const pdf = (...pages) => ({ name: 'r.pdf', kind: 'pdf', size: 9, text: pages.join('\n\n'), pages });
const now = { free: 6400, speeds: [20] };

test('files that fit are sent whole, with their cost in tokens and time', () => {
  const plan = planOf([{ file: plain('x'.repeat(3600)) }, { file: plain('y'.repeat(7200), 'b.txt') }], now);
  assert.deepEqual(
    plan.files.map(({ choices, selection }) => [choices, selection.kind]),
    [
      [['whole'], 'whole'],
      [['whole'], 'whole'],
    ],
  );
  assert.ok(plan.fits && plan.tokens > 3000 && plan.tokens < 3100);
  assert.deepEqual(
    plan.words.map(({ key }) => key),
    ['file.cost', 'file.readingTime'],
  );
});

test('what no longer fits is sent in part, and what was chosen stays chosen', () => {
  const large = { file: plain(`${'word '.repeat(200)}\n\n`.repeat(40), 'large.txt') };
  const first = { file: plain('x'.repeat(3600)) };
  const plan = planOf([first, large], now);
  assert.deepEqual(plan.files[1].choices, ['passages', 'beginning']);
  assert.deepEqual([plan.files[1].selection.kind, plan.files[1].tokens, plan.fits], ['passages', 0, true]);
  const chosen = planOf([first, { ...large, selection: { kind: 'beginning' } }], now);
  assert.ok(chosen.fits && chosen.files[1].tokens > 4000);
  const whole = planOf([first, { ...large, selection: { kind: 'whole' } }], now);
  assert.equal(whole.files[1].selection.kind, 'passages', 'what is no longer offered gives way');
});

test('chosen pages cost what they hold', () => {
  const file = pdf(...Array.from({ length: 20 }, (_, i) => `page ${i} ${'word '.repeat(400)}`));
  const plan = planOf([{ file, selection: { kind: 'pages', pages: [2, 3] } }], now);
  assert.deepEqual(plan.files[0].choices, ['passages', 'beginning', 'pages']);
  assert.ok(plan.files[0].tokens > 1000 && plan.files[0].tokens < 1300);
});

test('nothing attached costs nothing and says nothing', () => {
  assert.deepEqual(planOf([], now), { files: [], tokens: 0, fits: true, words: [] });
});

test('facts: rows, pages, pages that are pictures, pictures left out', () => {
  const keys = (file) => factsOf(file).map(({ key, values }) => `${key} ${Object.values(values)}`);
  assert.deepEqual(keys({ rows: 5 }), ['file.rows 5']);
  assert.deepEqual(keys({ pages: ['a', '', ''], pictures: 1, unreadable: 1 }), [
    'file.pages 3',
    'file.pagesPictures 1,3',
    'file.pagesUnreadable 1',
  ]);
  assert.deepEqual(keys({ pictures: 2 }), ['file.pictures 2']);
  assert.deepEqual(keys({}), []);
});

test('a message keeps the text that was sent; it never changes and is never repeated', () => {
  const [planned] = planOf([{ file: plain('The file.') }], now).files;
  const file = stored(planned);
  assert.deepEqual(file, {
    name: 'a.txt',
    kind: 'whole',
    text: '<file name="a.txt">\nThe file.\n</file>',
    tokens: planned.tokens,
  });
  const path = [
    { role: 'user', text: 'What is it?', files: [file] },
    { role: 'assistant', text: 'A file.' },
    { role: 'user', text: 'And?' },
  ];
  const contents = contentsOf(path, { context: 8192 });
  assert.deepEqual(contents, [`${file.text}\n\nWhat is it?`, 'A file.', 'And?']);
  assert.deepEqual(contentsOf(path.slice(0, 1), { context: 8192 }), contents.slice(0, 1));
});

test('passages stand before the new question only, within a third of the context', () => {
  const topics = ['apples', 'steam engines', 'Roman roads', 'coral reefs', 'glaciers', 'invoices'];
  const book = pdf(...topics.map((topic) => `${topic} are described here. ${'Other words follow now. '.repeat(60)}`));
  const file = stored({ file: book, selection: { kind: 'passages' }, tokens: 0 });
  assert.deepEqual([file.kind, file.pages?.length, file.text.startsWith('<file')], ['passages', 6, false]);
  const path = [
    { role: 'user', text: 'Tell me of glaciers', files: [file] },
    { role: 'assistant', text: 'Cold.' },
    { role: 'user', text: 'And coral reefs?' },
  ];
  const contents = contentsOf(path, { context: 3000 });
  assert.deepEqual(contents.slice(0, 2), ['Tell me of glaciers', 'Cold.']);
  assert.match(
    contents[2],
    /^<passages file="r\.pdf"[\s\S]*<passage page="4">\ncoral reefs[\s\S]*<\/passages>\n\nAnd coral reefs\?$/,
  );
  assert.ok(estimateTokens(contents[2]) < 1100);
  assert.ok(contentsOf(path.slice(0, 1), { context: 3000 })[0].includes('<passage page="5">'));
  assert.deepEqual(contentsOf(path.slice(0, 2), { context: 3000 }), ['Tell me of glaciers', 'Cold.']);
  assert.deepEqual(contentsOf([], { context: 3000 }), []);
});

test('a table for passages is cut between rows, each with the header', () => {
  const table = {
    name: 't.csv',
    kind: 'table',
    size: 1,
    delimiter: ',',
    rows: 2000,
    text: `id,name\n${Array.from({ length: 2000 }, (_, i) => `${i},person${i}`).join('\n')}`,
  };
  const file = stored({ file: table, selection: { kind: 'passages' }, tokens: 0 });
  const [content] = contentsOf([{ role: 'user', text: 'Who is person1234?', files: [file] }], { context: 3000 });
  assert.match(content, /^<passages file="t\.csv"[^>]*>\nid,name\n<passage>\n[\s\S]*1234,person1234\n/);
});

test('a citation leads to its page, also in what was sent whole', () => {
  const whole = stored({ file: pdf('One', 'Two\n\n[x]', 'Three'), selection: { kind: 'whole' }, tokens: 9 });
  const passages = stored({
    file: { ...pdf('Eins', 'Zwei'), name: 'p.pdf' },
    selection: { kind: 'passages' },
    tokens: 0,
  });
  const cited = (file, page) => citedText([whole, passages], { file, page });
  assert.deepEqual(
    [cited('r.pdf', 1), cited('r.pdf', 2), cited('r.pdf', 3), cited('r.pdf', 4)],
    ['One', 'Two\n\n[x]', 'Three', null],
  );
  assert.deepEqual([cited('p.pdf', 2), cited('p.pdf', 9), cited('x.pdf', 1)], ['Zwei', null, null]);
  assert.ok(cited('p.pdf', null)?.includes('Eins'));
});
