import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeText, kindOf } from '../../../ollama_backend/surfaces/gradio_app/browser/files/decode.js';

const bytes = (...values) => new Uint8Array(values);
const utf8 = (text) => new TextEncoder().encode(text);
const utf16 = (text, little) => {
  const units = [0xfeff, ...[...Array(text.length).keys()].map((i) => text.charCodeAt(i))];
  return bytes(...units.flatMap((unit) => (little ? [unit & 255, unit >> 8] : [unit >> 8, unit & 255])));
};

test('UTF-8, with and without its mark, is text with one kind of line end', () => {
  assert.equal(decodeText(utf8('Grüße, 世界\r\nzwei\rdrei')), 'Grüße, 世界\nzwei\ndrei');
  assert.equal(decodeText(bytes(0xef, 0xbb, 0xbf, 0x61)), 'a');
});

test('UTF-16 is known by its mark', () => {
  assert.equal(decodeText(utf16('Grüße 世界 😀', true)), 'Grüße 世界 😀');
  assert.equal(decodeText(utf16('Grüße 世界 😀', false)), 'Grüße 世界 😀');
});

test('what is not UTF-8 is windows-1252', () => {
  // Old versions of Node decode 0x80 to 0x9f as Latin-1; browsers do not.
  assert.equal(decodeText(bytes(0x47, 0x72, 0xfc, 0xdf, 0x65, 0x20, 0xa7)), 'Grüße §');
});

test('a NUL in the first 8 KiB means that it is no text, one behind them does not', () => {
  assert.equal(decodeText(bytes(0x61, 0, 0x62)), null);
  assert.equal(decodeText(utf8(`${'a'.repeat(8192)}\0`))?.length, 8193);
  assert.equal(kindOf(bytes(0x61, 0, 0x62)), 'binary');
});

test('noise without a NUL is no text', () => {
  const noise = Uint8Array.from({ length: 4000 }, (_, i) => 1 + ((i * 7919) % 255));
  assert.equal(decodeText(noise), null);
  assert.equal(kindOf(noise), 'binary');
});

test('coloured logs are text', () => {
  assert.equal(kindOf(utf8('\u001b[31merror\u001b[0m\n'.repeat(50))), 'text');
});

test('a character cut at the end of the head does not change the kind', () => {
  const text = utf8('ß'.repeat(5000));
  assert.equal(kindOf(text), 'text');
  assert.equal(decodeText(text.subarray(0, 8191), true)?.includes('ß'), true);
});

test('kinds are known by signatures', () => {
  const kinds = {
    picture: [
      bytes(0x89, 0x50, 0x4e, 0x47, 13, 10),
      bytes(0xff, 0xd8, 0xff, 0xe0),
      utf8('GIF89a'),
      utf8('RIFF1234WEBPVP8 '),
    ],
    zip: [utf8('PK\u0003\u0004rest'), utf8('PK\u0005\u0006')],
    pdf: [utf8('%PDF-1.7\n'), utf8(`${'x'.repeat(1000)}%PDF-1.4`)],
    rtf: [utf8('{\\rtf1 hello}')],
    oldOffice: [bytes(0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1, 0)],
    text: [utf8('BM is a name'), utf8('<svg xmlns="…">'), utf8('')],
  };
  for (const [kind, samples] of Object.entries(kinds)) {
    for (const sample of samples) assert.equal(kindOf(sample), kind, String(sample.subarray(0, 8)));
  }
});
