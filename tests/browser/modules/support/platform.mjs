// What an old Node lacks, and files as the page gets them.

import { createInflateRaw } from 'node:zlib';
import { Duplex } from 'node:stream';

function unpacksRaw() {
  try {
    return Boolean(new DecompressionStream('deflate-raw'));
  } catch {
    return false;
  }
}

if (!unpacksRaw()) {
  globalThis.DecompressionStream = class {
    constructor() {
      Object.assign(this, Duplex.toWeb(createInflateRaw()));
    }
  };
}

/** A file as the page gets it. */
export function file(name, content, { reads = true } = {}) {
  const blob = new Blob([content]);
  const arrayBuffer = () => (reads ? blob.arrayBuffer() : Promise.reject(new Error('NotReadableError')));
  return { name, size: blob.size, arrayBuffer, slice: (start, end) => blob.slice(start, end) };
}
