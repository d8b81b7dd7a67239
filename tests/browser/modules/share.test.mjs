import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileName, sharePage } from '../../../ollama_backend/surfaces/gradio_app/browser/formats/share.js';

const words = {
  language: 'en',
  direction: 'ltr',
  t: (key, values) => (values ? `${key} ${JSON.stringify(values)}` : key),
};
const page = (messages, more = {}) =>
  sharePage({ title: 'Title', messages, at: Date.UTC(2026, 0, 2, 12), ...more }, words);

test('what people wrote is text, in titles, names and thinking too', () => {
  const evil = '</title></style><script>alert(1)</script><img src=x onerror="alert(1)">';
  const html = page(
    [
      { role: 'user', text: evil, files: [evil] },
      { role: 'assistant', text: evil, thinking: evil, model: evil, note: evil },
    ],
    { title: evil, css: evil },
  );
  assert.ok(!/<script|<img/.test(html));
  assert.equal(html.match(/<\/style>/g)?.length, 1);
  assert.ok(html.includes('&#60;script&#62;alert(1)&#60;/script&#62;'));
});

test('an answer stands as the server drew it, and as text where it did not', () => {
  const html = page([
    { role: 'assistant', text: '**b**', html: '<p><strong>b</strong></p>' },
    { role: 'assistant', text: '**plain**' },
  ]);
  assert.ok(html.includes('<div class="text"><p><strong>b</strong></p></div>') && html.includes('>**plain**</div>'));
  assert.ok(!page([{ role: 'user', text: 'x', html: '<b>no</b>' }]).includes('<b>'));
});

test('the file asks for nothing and runs nothing', () => {
  const html = page([
    { role: 'user', text: 'x', images: ['data:image/png;base64,AAAA', 'https://evil.example/x.png'] },
  ]);
  assert.match(
    html,
    /http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:;/,
  );
  assert.equal(html.match(/<img /g)?.length, 1);
  assert.ok(!/https?:|<script|<link|@import|url\(/.test(html));
});

test('language, direction and date are those of the page', () => {
  const html = sharePage(
    { title: 'عنوان', messages: [], at: Date.UTC(2026, 0, 2, 12) },
    { ...words, language: 'ar', direction: 'rtl' },
  );
  assert.ok(html.includes('<html lang="ar" dir="rtl">') && html.includes('<h1 dir="auto">عنوان</h1>'));
  assert.match(page([]), /share\.footer .*January 2, 2026/);
});

test('file names are made of the letters of the title', () => {
  assert.equal(fileName('What is: <b>a/b\\c?', 'html'), 'What-is-b-a-b-c.html');
  assert.equal(fileName('हिन्दी में', 'md'), 'हिन्दी-में.md');
  assert.equal(fileName('???', 'json'), 'chat.json');
  assert.equal(fileName('𠀀'.repeat(50), 'md'), `${'𠀀'.repeat(40)}.md`);
});
