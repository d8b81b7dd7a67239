// Writes ZIP archives and Word documents for tests.

import { deflateRawSync } from 'node:zlib';

/** A ZIP archive of these entries; `change` may alter the raw fields of each. */
export function zip(files, change = () => ({})) {
  const parts = [];
  const central = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const packed = deflateRawSync(Buffer.from(content));
    const fields = { flags: 0, method: 8, packed: packed.length, offset, ...change(name, packed) };
    const local = header(0x04034b50, 30, name, fields, 6);
    parts.push(local, packed);
    central.push(header(0x02014b50, 46, name, fields, 8));
    offset += local.length + packed.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(central.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return new Uint8Array(Buffer.concat([...parts, directory, end]));
}

function header(signature, size, name, fields, at) {
  const head = Buffer.alloc(size);
  const title = Buffer.from(name);
  const sizes = signature === 0x04034b50 ? 18 : 20;
  head.writeUInt32LE(signature, 0);
  head.writeUInt16LE(fields.flags, at);
  head.writeUInt16LE(fields.method, at + 2);
  head.writeUInt32LE(fields.packed, sizes);
  head.writeUInt16LE(title.length, sizes + 8);
  if (size === 46) head.writeUInt32LE(fields.offset, 42);
  return Buffer.concat([head, title]);
}

/** A Word document with this body, and other parts by their names. */
export const docx = (body, parts = {}) =>
  zip({
    '[Content_Types].xml': '<Types/>',
    ...parts,
    'word/document.xml': `<?xml version="1.0"?><w:document xmlns:w="w"><w:body>${body}</w:body></w:document>`,
  });

/** A paragraph of a Word document; `properties` is XML. */
export const paragraph = (text, properties = '') =>
  `<w:p>${properties && `<w:pPr>${properties}</w:pPr>`}<w:r><w:t xml:space="preserve">${text}</w:t></w:r></w:p>`;
