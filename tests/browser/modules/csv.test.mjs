import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  countRows,
  firstRows,
  tableDelimiter,
  tableShape,
} from '../../../ollama_backend/surfaces/gradio_app/browser/files/csv.js';

test('quotes hold delimiters, line breaks and doubled quotes', () => {
  const text = 'name,note\n"Ann","a, ""b""\nc"\n\nBob,5" pipe\n';
  assert.equal(countRows(text, ','), 2);
  assert.deepEqual(tableShape(text), { delimiter: ',', columns: 2 });
});

test('the delimiter is the one by which the rows agree', () => {
  assert.equal(tableDelimiter('x.csv', 'a;b;c\n1,5;2;3\n4,5;6;7\n'), ';');
  assert.equal(tableDelimiter('x.txt', 'a\tb\n1\t2\n'), '\t');
  assert.equal(tableDelimiter('data', 'a,b\n1,2\n'), ',');
});

test('a name ending in .csv is believed, program text and prose are no tables', () => {
  assert.equal(tableDelimiter('one-column.CSV', 'name\nAnn\nBob\n'), ',');
  assert.equal(tableDelimiter('x.tsv', 'name\nAnn'), '\t');
  assert.equal(tableDelimiter('x.py', 'f(a, b)\ng(c, d)\n'), null);
  assert.equal(tableDelimiter('notes.txt', 'One line, with a comma.\nAnother without.\n'), null);
});

test('a part keeps the header and whole rows, and says how many are left out', () => {
  const text = `id,text\n${Array.from({ length: 100 }, (_, i) => `${i},"row\n${i}"`).join('\n')}\n`;
  const part = firstRows(text, ',', (some) => some.length < 200);
  assert.ok(part.text.startsWith('id,text\n0,"row\n0"') && part.text.endsWith('"') && part.text.length < 200);
  assert.equal(part.rows + part.leftOut, 100);
  assert.deepEqual(
    firstRows(text, ',', () => false),
    { text: 'id,text', rows: 0, leftOut: 100 },
  );
  assert.equal(firstRows(text, ',', () => true).leftOut, 0);
});
