// How the modules of the page depend on each other, read from their text.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path/posix';
import { test } from 'node:test';
import { en } from '../../../ollama_backend/surfaces/gradio_app/browser/languages/en.js';

const FOLDER = new URL('../../../ollama_backend/surfaces/gradio_app/browser/', import.meta.url);
const PATHS = readdirSync(FOLDER, { recursive: true }).filter((path) => path.endsWith('.js'));
const SOURCES = new Map(PATHS.map((path) => [path, readFileSync(new URL(path, FOLDER), 'utf8')]));
const IMPORTS = new Map(
  [...SOURCES].map(([path, source]) => [
    path,
    [...source.matchAll(/^(?:import|export) [^;]*?from '(\.[^']+)';/gm)].map(([, to]) =>
      normalize(join(dirname(path), to)),
    ),
  ]),
);

/** From the highest to the lowest; a module imports from its own layer and from those below. */
const LAYERS = ['main.js', 'view/', 'chat/', 'server/', 'storage/', 'state.js', ''];
const layerOf = (path) => LAYERS.findIndex((layer) => path.startsWith(layer));

/** A circle of imports, or null. */
function circleIn(graph) {
  const done = new Set();
  const visit = (path, above) => {
    if (above.includes(path)) return [...above.slice(above.indexOf(path)), path];
    if (done.has(path)) return null;
    for (const to of graph.get(path) ?? []) {
      const circle = visit(to, [...above, path]);
      if (circle) return circle;
    }
    done.add(path);
    return null;
  };
  return [...graph.keys()].map((path) => visit(path, [])).find(Boolean) ?? null;
}

/** Imports that go up. */
const upward = (graph) =>
  [...graph].flatMap(([path, list]) =>
    list.filter((to) => layerOf(to) < layerOf(path)).map((to) => `${path} -> ${to}`),
  );

test('no module imports itself over others, and a circle would be found', () => {
  assert.ok(PATHS.length > 60 && [...IMPORTS.values()].flat().length > 200);
  assert.equal(circleIn(IMPORTS), null);
  assert.ok(circleIn(new Map([...IMPORTS, ['ids.js', ['main.js']]]))?.includes('main.js'));
});

test('imports go down only, and one that goes up would be found', () => {
  assert.deepEqual(upward(IMPORTS), []);
  assert.deepEqual(upward(new Map([['state.js', ['view/dom.js']]])), ['state.js -> view/dom.js']);
});

test('every import leads to a module', () => {
  const missing = [...IMPORTS].flatMap(([path, list]) => list.filter((to) => !SOURCES.has(to)).map((to) => [path, to]));
  assert.deepEqual(missing, []);
});

test('every export is used by another module or by a test', () => {
  const folder = new URL('../', import.meta.url);
  const tests = readdirSync(folder, { recursive: true }).filter((name) => /\.(?:mjs|py)$/.test(name));
  const others = tests.map((name) => readFileSync(new URL(name, folder), 'utf8'));
  const isUsed = (path, name) =>
    [...SOURCES].some(([other, source]) => other !== path && new RegExp(`\\b${name}\\b`).test(source)) ||
    others.some((source) => new RegExp(`\\b${name}\\b`).test(source));
  const unused = [...SOURCES].flatMap(([path, source]) =>
    [...source.matchAll(/^export (?:async )?(?:function\*?|const|class) (\w+)/gm)]
      .map(([, name]) => name)
      .filter((name) => !isUsed(path, name))
      .map((name) => `${path} ${name}`),
  );
  assert.deepEqual(unused, []);
  assert.ok(!isUsed('ids.js', `${'no'}Such${'Name'}`));
});

test('HTML is inserted in one place, and nothing is made code of text', () => {
  const modulesWith = (pattern) => PATHS.filter((path) => pattern.test(SOURCES.get(path)));
  assert.deepEqual(modulesWith(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTML/), ['view/html.js']);
  assert.deepEqual(modulesWith(/\beval\(|new Function|setTimeout\(['"`]|javascript:/), []);
});

test('only the state module changes the state', () => {
  const pattern = /\bstate\.(?:\w+\.)*\w+\s*(?:=[^=>]|\+\+|\+=|\.(?:set|delete|add|push|clear)\()/;
  const writers = PATHS.filter((path) => pattern.test(SOURCES.get(path).replace(/^\s*(?:\*|\/\/).*$/gm, '')));
  assert.deepEqual(writers, ['state.js']);
  assert.match('  state.ui.search = 1;', pattern);
  assert.match('state.live.delete(id)', pattern);
});

test('a module does nothing when it is imported', async () => {
  const pure = PATHS.filter((path) => layerOf(path) === LAYERS.length - 1 || path === 'state.js');
  for (const path of PATHS.filter((path) => path !== 'main.js')) await import(new URL(path, FOLDER));
  assert.ok(pure.length > 30);
  assert.equal(globalThis.document, undefined);
});

test('modules are short, but for tables, and so are their lines', () => {
  for (const [path, source] of SOURCES) {
    const lines = source.split('\n');
    const isTable = source.startsWith('/* oxlint-disable max-lines -- a table */');
    assert.ok(isTable ? path.startsWith('languages/') : lines.length <= 251, path);
    if (path !== 'languages/hi.js') assert.ok(Math.max(...lines.map((line) => line.length)) <= 120, path);
  }
});

test('every word of the table is used', () => {
  const others = [...SOURCES.values()].filter((source) => !source.includes('-- a table'));
  const text = others.join('\n');
  const parts = [...text.matchAll(/`(\w[\w.]*\.)\$\{/g)].map(([, start]) => start);
  const isUsed = (key) => text.includes(`'${key}'`) || parts.some((start) => key.startsWith(start));
  assert.ok(!isUsed('message.none'));
  assert.deepEqual(
    Object.keys(en).filter((key) => !isUsed(key)),
    [],
  );
});

test('every word that is used is in the table', () => {
  const used = [...SOURCES].flatMap(([path, source]) =>
    path.startsWith('languages/') ? [] : [...source.matchAll(/\bt\(\s*'([\w.]+)'/g)].map(([, key]) => key),
  );
  assert.ok(used.length > 100);
  assert.deepEqual(
    used.filter((key) => !(key in en)),
    [],
  );
});
