import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { en } from '../../../ollama_backend/surfaces/gradio_app/browser/languages/en.js';
import { LANGUAGES, loadTable } from '../../../ollama_backend/surfaces/gradio_app/browser/languages/tables.js';

const BROWSER = new URL('../../../ollama_backend/surfaces/gradio_app/browser/', import.meta.url);
const TABLES = await Promise.all([...LANGUAGES.keys()].map(async (name) => [name, await loadTable(name)]));

const placeholders = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
const formsOf = (text) => (typeof text === 'string' ? { other: text } : text);

test('every table has every key, in the same order', () => {
  for (const [name, table] of TABLES) assert.deepEqual(Object.keys(table), Object.keys(en), name);
});

test('every text has the placeholders of the English one; "one" may say it without the number', () => {
  for (const [name, table] of TABLES) {
    for (const [key, text] of Object.entries(table)) {
      const wanted = placeholders(formsOf(en[key]).other);
      for (const [category, form] of Object.entries(formsOf(text))) {
        const allowed = ['zero', 'one', 'two'].includes(category)
          ? wanted.filter((value) => value !== 'count')
          : wanted;
        const found = placeholders(form);
        const isRight = [wanted, allowed].some((list) => list.join() === found.join());
        assert.ok(isRight, `${name} ${key} ${category}: ${form}`);
      }
    }
  }
});

test('a text with a plural has every category that its language needs', () => {
  for (const [name, table] of TABLES) {
    // Of these languages, three have a category of their own for millions, which `other` covers.
    const wanted = new Intl.PluralRules(name).resolvedOptions().pluralCategories;
    const needed = wanted.filter((category) => category !== 'many' || name === 'ar').sort();
    for (const [key, text] of Object.entries(table)) {
      if (typeof text !== 'string') assert.deepEqual(Object.keys(text).sort(), needed, `${name} ${key}`);
    }
  }
});

test('texts are clean: no blanks at the ends, no markup, no empty ones', () => {
  for (const [name, table] of TABLES) {
    for (const [key, text] of Object.entries(table)) {
      for (const form of Object.values(formsOf(text))) {
        assert.ok(form && form === form.trim() && !/[<>]| {2}|\\/.test(form), `${name} ${key}: ${form}`);
      }
    }
  }
});

test('no table but the English one holds English sentences', () => {
  const words = (text) =>
    formsOf(text)
      .other.replace(/\{\w+\}/g, '')
      .match(/\p{L}{2,}/gu) ?? [];
  const sentences = Object.entries(en).filter(([, text]) => words(text).length > 2);
  for (const [name, table] of TABLES) {
    const same = sentences.filter(([key, text]) => formsOf(table[key]).other === formsOf(text).other);
    assert.deepEqual(same, name === 'en' ? sentences : [], name);
  }
});

test('every key that the page asks for is there', () => {
  const files = readdirSync(BROWSER, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.name.endsWith('.js'),
  );
  const sources = files.map((entry) => readFileSync(`${entry.parentPath ?? entry.path}/${entry.name}`, 'utf8'));
  const asked = sources.flatMap((source) =>
    [...source.matchAll(/(?:\bt\(\s*|\bkey: )'([a-z]+(?:\.\w+)+)'/g)].map(([, key]) => key),
  );
  assert.ok(asked.length > 5);
  for (const key of asked) assert.ok(key in en, key);
});
