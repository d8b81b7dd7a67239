import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPdf } from '../../../ollama_backend/surfaces/gradio_app/browser/files/pdf.js';
import {
  fromPaste,
  LIMITS,
  readFile,
  readFiles,
} from '../../../ollama_backend/surfaces/gradio_app/browser/files/read.js';
import { docx, paragraph, zip } from './support/archive.mjs';
import { file } from './support/platform.mjs';

const noPdf = () => Promise.reject(new Error('not asked'));
const read = (name, content, sendPdf = noPdf) => readFile(file(name, content), sendPdf);

test('text is read whatever its name says', async () => {
  assert.deepEqual(await read('photo.png', 'just text'), {
    name: 'photo.png',
    kind: 'text',
    size: 9,
    text: 'just text',
  });
  assert.equal((await read('no-name', 'int main() {}\r\n')).text, 'int main() {}\n');
});

test('a table is known with its rows', async () => {
  const found = await read('people.csv', 'name,age\nAnn,5\nBob,6\n');
  assert.deepEqual([found.kind, found.rows, found.delimiter], ['table', 2, ',']);
});

test('a Word document is read, under any name', async () => {
  const found = await read('letter.bin', docx(paragraph('Dear reader')));
  assert.deepEqual([found.kind, found.text, found.pictures], ['docx', 'Dear reader', 0]);
});

const answering = (status, body) => async () => ({ status, json: async () => body });

test('a PDF goes to the server; its pages are kept, those without text counted', async () => {
  const sent = [];
  const found = await read('a.pdf', '%PDF-1.4 …', async (bytes) => {
    sent.push(new TextDecoder().decode(bytes));
    return { status: 200, json: async () => ({ pages: ['One', ' ', '', 'Four'], unreadable: 1 }) };
  });
  assert.deepEqual(sent, ['%PDF-1.4 …']);
  assert.deepEqual([found.kind, found.pages, found.pictures, found.unreadable], ['pdf', ['One', '', '', 'Four'], 1, 1]);
});

test('what the server says of a PDF that it cannot read has its own sentence; anything else has one too', async () => {
  const reason = async (status, body) => (await readPdf(new Uint8Array(4), answering(status, body))).reason;
  assert.equal(await reason(400, { reason: 'pdfEncrypted' }), 'pdfEncrypted');
  assert.deepEqual(
    [await reason(401, {}), await reason(413, {}), await reason(503, {})],
    ['pdfKey', 'pdfTooLarge', 'pdfBusy'],
  );
  assert.equal(await reason(200, { pages: ['', '  '] }), 'pdfPictures');
  for (const odd of [null, undefined, 'x', { pages: [1] }, { reason: 'constructor' }, { pages: 'abc' }]) {
    assert.equal(await reason(200, odd), 'pdfServer');
    assert.equal(await reason(500, odd), 'pdfServer');
  }
  assert.equal((await readPdf(new Uint8Array(4), noPdf)).reason, 'pdfServer');
});

test('everything else is refused by name, with its own sentence', async () => {
  const cases = [
    ['table.xlsx', zip({ 'xl/workbook.xml': 'x' }), 'spreadsheet'],
    ['talk.pptx', zip({ 'ppt/presentation.xml': 'x' }), 'slides'],
    ['text.odt', zip({ 'content.xml': 'x' }), 'openDocument'],
    ['many.zip', zip({ a: 'x' }), 'archive'],
    ['old.doc', new Uint8Array([0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1, 0, 0]), 'oldOffice'],
    ['a.rtf', '{\\rtf1 a}', 'rtf'],
    ['song.mp3', new Uint8Array([0x49, 0x44, 0x33, 4, 0, 0, 0]), 'binary'],
    ['empty.txt', '', 'empty'],
    ['blank.txt', ' \n\t', 'empty'],
    ['empty.docx', docx('<w:p/>'), 'empty'],
    ['broken.docx', docx('x').subarray(0, 90), 'damaged'],
    ['locked.docx', zip({ 'word/document.xml': 'x' }, () => ({ flags: 1 })), 'encrypted'],
    ['bomb.docx', zip({ 'word/document.xml': Buffer.alloc(40 * 2 ** 20, ' ') }), 'expands'],
    ['large.txt', 'x'.repeat(LIMITS.text + 1), 'tooLarge'],
  ];
  for (const [name, content, reason] of cases) {
    const found = await read(name, content);
    assert.equal(found.key, `file.refused.${reason}`, name);
    assert.equal(found.values.name, name);
  }
  const folder = await readFile(file('folder', '', { reads: false }), noPdf);
  assert.equal(folder.key, 'file.refused.unreadable');
});

test('a large file of a wrong kind is not loaded to be refused', async () => {
  const head = new Uint8Array([0x25, 0x50, 0x44, 0x46, 0x2d]);
  const source = {
    name: 'x.pdf',
    size: 3e9,
    slice: () => new Blob([head]),
    arrayBuffer: () => assert.fail('was loaded'),
  };
  const found = await readFile(source, noPdf);
  assert.deepEqual([found.key, found.values.limit], ['file.refused.tooLarge', LIMITS.pdf]);
});

test('ten files fit into a message; pictures are handed on and not counted', async () => {
  const sources = [file('p.gif', 'GIF89a'), ...Array.from({ length: 9 }, (_, i) => file(`${i}.txt`, `text ${i}`))];
  const { files, pictures, refused } = await readFiles(sources, { sendPdf: noPdf, attached: 2 });
  assert.deepEqual([files.length, pictures.length, refused.length], [8, 1, 1]);
  assert.deepEqual(refused[0], { name: '8.txt', key: 'file.refused.tooMany', values: { name: '8.txt', count: 10 } });
});

test('pasted text over ten thousand characters becomes a file', () => {
  assert.equal(fromPaste('x'.repeat(10_000), 'Pasted text'), null);
  const pasted = fromPaste(`${'line\r\n'.repeat(2000)}`, 'Pasted text');
  assert.deepEqual([pasted?.name, pasted?.kind, pasted?.text.length], ['Pasted text', 'text', 10_000]);
  const table = fromPaste('a\tb\n'.repeat(3000), 'Pasted text');
  assert.deepEqual([table?.kind, table?.rows], ['table', 2999]);
});
