import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDocx, readDocx } from '../../../ollama_backend/surfaces/gradio_app/browser/files/docx.js';
import { walk } from '../../../ollama_backend/surfaces/gradio_app/browser/files/xml.js';
import { entriesOf, LIMITS, unpack } from '../../../ollama_backend/surfaces/gradio_app/browser/files/zip.js';
import { docx, paragraph, zip } from './support/archive.mjs';
import './support/platform.mjs';

const entry = (archive, name) => /** @type {any} */ (entriesOf(archive).get(name));
const textOf = async (archive) => (await readDocx(archive)).text;

test('entries are unpacked, stored ones too', async () => {
  const archive = zip({ 'a.txt': 'alpha', 'b/ü.txt': 'béta'.repeat(1000) });
  assert.deepEqual([...entriesOf(archive).keys()], ['a.txt', 'b/ü.txt']);
  assert.equal(new TextDecoder().decode(await unpack(archive, entry(archive, 'b/ü.txt'))), 'béta'.repeat(1000));
  const stored = zip({ x: 'hello' }, () => ({ method: 0 }));
  assert.equal((await unpack(stored, entry(stored, 'x'))).length, entry(stored, 'x').packed);
});

test('an archive that unpacks to far more than it is, is given up at the limit', async () => {
  const bomb = zip({ x: Buffer.alloc(64 * 2 ** 20) });
  assert.ok(bomb.length < 100_000);
  await assert.rejects(unpack(bomb, entry(bomb, 'x')), { reason: 'expands' });
  const large = zip({ x: Buffer.from(Array.from({ length: 400_000 }, (_, i) => i * 2654435761)) });
  await assert.rejects(unpack(large, entry(large, 'x'), { ...LIMITS, bytes: 100_000 }), { reason: 'expands' });
});

test('damage, encryption and strange methods are refused', async () => {
  const whole = zip({ x: 'hello world '.repeat(100) });
  assert.throws(() => entriesOf(whole.subarray(0, whole.length - 5)), { reason: 'damaged' });
  assert.throws(() => entriesOf(new Uint8Array(3)), { reason: 'damaged' });
  for (const [change, reason] of [
    [{ flags: 1 }, 'encrypted'],
    [{ method: 12 }, 'damaged'],
    [{ offset: 4_000_000_000 }, 'damaged'],
    [{ packed: 4_000_000_000 }, 'damaged'],
    [{ packed: 3 }, 'damaged'],
  ]) {
    const archive = zip({ x: 'hello world '.repeat(100) }, () => change);
    await assert.rejects(unpack(archive, entry(archive, 'x')), { reason }, JSON.stringify(change));
  }
});

test('the walker reads elements, entities, CDATA and what is not well formed', () => {
  const events = [...walk('<a x="1>2"><!-- <b> --><b/>&lt;&#65;&#x42;&bad;<![CDATA[<raw>]]></a><c')];
  const seen = events.map((event) => (event.kind === 'text' ? event.text : `${event.kind} ${event.name}`));
  assert.deepEqual(seen, ['open a', 'open b', 'close b', '<AB&bad;', '<raw>', 'close a', 'open c']);
});

test('entities that a document declares itself are not expanded', () => {
  const lol = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>';
  const text = [...walk(lol)].map((event) => event.text).join('');
  assert.ok(text.includes('&b;') && !text.includes('aaaa'));
});

test('paragraphs, headings in any language, breaks and tabs', async () => {
  const styles =
    '<w:styles><w:style w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>' +
    '<w:style w:styleId="Mine"><w:name w:val="Mine"/><w:basedOn w:val="berschrift2"/></w:style></w:styles>';
  const archive = docx(
    paragraph('Title &amp; more', '<w:pStyle w:val="berschrift2"/>') +
      paragraph('Own', '<w:pStyle w:val="Mine"/>') +
      '<w:p><w:pPr><w:tabs><w:tab w:val="left"/></w:tabs></w:pPr>' +
      '<w:r><w:t>one</w:t><w:tab/><w:t>two</w:t><w:br/><w:t>three</w:t></w:r></w:p>' +
      '<w:p/>',
    { 'word/styles.xml': styles },
  );
  assert.ok(isDocx(archive));
  assert.equal(await textOf(archive), '## Title & more\n\n## Own\n\none\ttwo\nthree');
});

test('lists count, go deeper and take their kind from numbering or style', async () => {
  const numbering =
    '<w:numbering><w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:numFmt w:val="decimal"/></w:lvl>' +
    '<w:lvl w:ilvl="1"><w:numFmt w:val="bullet"/></w:lvl></w:abstractNum>' +
    '<w:num w:numId="2"><w:abstractNumId w:val="7"/></w:num></w:numbering>';
  const item = (text, level) => paragraph(text, `<w:numPr><w:ilvl w:val="${level}"/><w:numId w:val="2"/></w:numPr>`);
  const styles =
    '<w:styles><w:style w:styleId="L"><w:name w:val="List Bullet"/>' +
    '<w:pPr><w:numPr><w:numId w:val="9"/></w:numPr></w:pPr></w:style></w:styles>';
  const archive = docx(
    item('first', 0) +
      item('deep', 1) +
      item('second', 0) +
      paragraph('after') +
      paragraph('by style', '<w:pStyle w:val="L"/>') +
      paragraph('taken out', '<w:pStyle w:val="L"/><w:numPr><w:numId w:val="0"/></w:numPr>'),
    { 'word/numbering.xml': numbering, 'word/styles.xml': styles },
  );
  assert.equal(await textOf(archive), '1. first\n  - deep\n2. second\n\nafter\n\n- by style\n\ntaken out');
});

test('tables become Markdown, nested ones too', async () => {
  const cell = (content) => `<w:tc>${content}</w:tc>`;
  const row = (...cells) => `<w:tr>${cells.map(cell).join('')}</w:tr>`;
  const table = `<w:tbl>${row(paragraph('a|b'), paragraph('c') + paragraph('d'))}${row(paragraph('e'))}</w:tbl>`;
  assert.equal(await textOf(docx(table)), '| a\\|b | c d |\n| --- | --- |\n| e |  |');
  const nested = `<w:tbl>${row(table)}</w:tbl>`;
  assert.match(await textOf(docx(nested)), /^\| .*a.*b.*c d.*\|\n\| --- \|$/);
});

test('deleted, moved and hidden text and fallbacks are left out, text boxes and notes are kept', async () => {
  const body =
    '<w:p><w:r><w:t>kept </w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>' +
    '<w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom><w:ins><w:r><w:t>new</w:t></w:r></w:ins>' +
    '<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r><w:r><w:t>!</w:t><w:footnoteReference w:id="4"/></w:r>' +
    '<mc:AlternateContent><mc:Choice><w:drawing><w:txbxContent>' +
    '<w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent></w:drawing></mc:Choice>' +
    '<mc:Fallback><w:pict><w:p><w:r><w:t>box</w:t></w:r></w:p></w:pict></mc:Fallback></mc:AlternateContent></w:p>';
  const footnotes = `<w:footnotes><w:footnote w:id="4">${paragraph('A note.')}</w:footnote></w:footnotes>`;
  const read = await readDocx(docx(body, { 'word/footnotes.xml': footnotes }));
  assert.equal(read.text, 'box\n\nkept new![^1]\n\n[^1]: A note.');
  assert.equal(read.pictures, 1);
});

test('a large document lets others run while it is read', async () => {
  const archive = docx(
    paragraph('word '.repeat(20))
      .repeat(20_000)
      .replaceAll('word', () => Math.random().toString(36)),
  );
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const { text } = await readDocx(archive);
  clearInterval(timer);
  assert.equal(text.split('\n\n').length, 20_000);
  assert.ok(turns >= 2);
});
