import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byDay, dayGroup } from '../../../ollama_backend/surfaces/gradio_app/browser/languages/days.js';
import {
  formatDuration,
  formatEstimate,
} from '../../../ollama_backend/surfaces/gradio_app/browser/languages/durations.js';
import {
  formatBytes,
  formatPercent,
  formatSpeed,
} from '../../../ollama_backend/surfaces/gradio_app/browser/languages/numbers.js';
import {
  choose,
  LANGUAGES,
  loadTable,
  translate,
} from '../../../ollama_backend/surfaces/gradio_app/browser/languages/tables.js';
import { localised } from '../../../ollama_backend/surfaces/gradio_app/browser/languages/values.js';

/** Without the kinds of blanks that languages put between numbers and units. */
const plain = (text) => text.replace(/[\s\u00a0\u202f\u2009]+/g, ' ');

test('the language is the one chosen, else the first of the browser that there is, else English', () => {
  assert.deepEqual(choose(['de-AT', 'en']), { language: 'de', locale: 'de-AT', direction: 'ltr' });
  assert.deepEqual(choose(['xx', 'pt_BR', 'pt-BR']), { language: 'pt', locale: 'pt-BR', direction: 'ltr' });
  assert.deepEqual(choose(['sv', 'nl-NL']), { language: 'en', locale: 'en', direction: 'ltr' });
  assert.deepEqual(choose([]), { language: 'en', locale: 'en', direction: 'ltr' });
  assert.deepEqual(choose(['en-GB'], 'ar'), { language: 'ar', locale: 'ar', direction: 'rtl' });
  assert.deepEqual(choose(['zh-Hans-CN', 'en-GB'], 'en'), { language: 'en', locale: 'en-GB', direction: 'ltr' });
  assert.deepEqual(choose(['de_x_!'], 'constructor'), { language: 'de', locale: 'de', direction: 'ltr' });
});

test('values take their places; count chooses the plural; numbers are written as the language does', () => {
  const table = { a: { one: '{count} file of {name}', other: '{count} files of {name}' }, b: 'plain {missing}' };
  const say = (locale, key, values) => translate(table, locale, key, values);
  assert.equal(say('en', 'a', { count: 1, name: 'x' }), '1 file of x');
  assert.equal(say('en', 'a', { count: 1200, name: '{count}' }), '1,200 files of {count}');
  assert.equal(say('de', 'a', { count: 1200, name: 'x' }), '1.200 files of x');
  assert.equal(say('en', 'b'), 'plain {missing}');
  assert.equal(say('en', 'nothing'), 'nothing');
  assert.equal(say('ar', 'a', { count: 2, name: 'x.txt' }).includes('\u2068x.txt\u2069'), true);
});

test('every language is loaded by its name, and no other', async () => {
  for (const language of LANGUAGES.keys()) assert.ok((await loadTable(language))['action.cancel'], language);
  await assert.rejects(loadTable('../../evil'), RangeError);
});

test('sizes, shares and speeds', () => {
  const sizes = [0, 999, 1500, 4_733_363_377, 350_000, 5e15];
  assert.deepEqual(
    sizes.map((size) => plain(formatBytes(size, 'en'))),
    ['0 bytes', '999 bytes', '1.5 kB', '4.7 GB', '350 kB', '5,000 TB'],
  );
  assert.equal(plain(formatBytes(4_733_363_377, 'de')), '4,7 GB');
  assert.equal(plain(formatPercent(0.837, 'en')), '84%');
  assert.deepEqual([formatSpeed(12.345, 'en'), formatSpeed(212.6, 'en')], ['12.3', '213']);
});

test('durations that passed are exact, those to come are rounded', () => {
  const passed = (seconds, locale = 'en') => plain(formatDuration(seconds, locale));
  assert.deepEqual(
    [0.42, 9.94, 9.96, 59.4, 59.6, 200, 3599.7, 3900].map((seconds) => passed(seconds)),
    ['0.4 sec', '9.9 sec', '10 sec', '59 sec', '1 min', '3 min 20 sec', '1 hr', '1 hr 5 min'],
  );
  assert.match(passed(200, 'de'), /^3 Min\.? 20 Sek\.?$/);
  const coming = (seconds, locale = 'en') => plain(formatEstimate(seconds, locale));
  assert.deepEqual(
    [1, 22, 54, 60, 184, 6000, 9000].map((seconds) => coming(seconds)),
    ['5 seconds', '20 seconds', '55 seconds', '1 minute', '3 minutes', '1.5 hours', '2.5 hours'],
  );
  assert.equal(coming(184, 'de'), '3 Minuten');
});

test('values of words become texts by their names', () => {
  const values = localised(
    { size: 2000, limit: 1e6, percent: 0.5, seconds: 2, estimate: 180, speed: 9.87, count: 3, name: 'x' },
    'en',
  );
  assert.deepEqual(
    Object.values(values).map((value) => (typeof value === 'string' ? plain(value) : value)),
    ['2 kB', '1 MB', '50%', '2 sec', '3 minutes', '9.9', 3, 'x'],
  );
});

test('conversations stand under their days, as the clock of the place counts them', () => {
  const now = new Date(2026, 2, 29, 10).getTime(); // the day on which Europe's clocks are put forward
  const at = (year, month, day, hour = 23) => dayGroup(new Date(year, month, day, hour).getTime(), now, 'en');
  assert.equal(at(2026, 2, 29, 0).key, 'days.today');
  assert.equal(at(2026, 2, 30, 9).key, 'days.today', 'a clock that was wrong');
  assert.equal(at(2026, 2, 28).key, 'days.yesterday');
  assert.equal(at(2026, 2, 22, 0).key, 'days.week');
  assert.equal(at(2026, 2, 21).key, 'days.month');
  assert.deepEqual(at(2026, 1, 2), { id: '2026-2', key: '', label: 'February' });
  assert.deepEqual(at(2025, 11, 31), { id: '2025-12', key: '', label: 'December 2025' });
  assert.equal(dayGroup(new Date(2026, 0, 2).getTime(), now, 'fr').label, 'Janvier');
});

test('groups keep the order of the list', () => {
  const now = new Date(2026, 5, 10, 12).getTime();
  const days = [0, 0, 1, 3, 6, 20, 50, 51].map((ago) => now - ago * 86_400_000);
  const groups = byDay(days, (day) => day, now, 'en');
  assert.deepEqual(
    groups.map(({ id, things }) => [id, things.length]),
    [
      ['days.today', 2],
      ['days.yesterday', 1],
      ['days.week', 2],
      ['days.month', 1],
      ['2026-4', 2],
    ],
  );
  assert.deepEqual(
    byDay([], () => 0, now, 'en'),
    [],
  );
});
