// PDF files: the server takes their text out and keeps nothing; there is no reader for them in a browser.

/** The most bytes of a PDF that the server reads. */
export const PDF_BYTES = 20_000_000;

/** Reasons that the server gives (pdf_text.py), each with its sentence `file.refused.REASON`. */
const REASONS = new Set(['pdfDamaged', 'pdfEncrypted', 'pdfTooLarge', 'pdfTooLong', 'pdfTooMuch', 'pdfBusy', 'pdfKey']);

/**
 * The text of each page.
 *
 * @param {Uint8Array} bytes
 * @param {(base64: string) => Promise<unknown>} send calls the server's event `read_pdf`
 * @returns {Promise<{pages: string[]} | {reason: string}>} `reason` is the last part of a key of the words
 */
export async function readPdf(bytes, send) {
  /** @type {unknown} */
  let answer;
  try {
    answer = await send(toBase64(bytes));
  } catch {
    return { reason: 'pdfServer' };
  }
  const { pages, reason } = /** @type {{pages?: unknown, reason?: unknown}} */ (answer ?? {});
  if (Array.isArray(pages) && pages.every((page) => typeof page === 'string')) {
    return pages.some((page) => page.trim()) ? { pages } : { reason: 'pdfPictures' };
  }
  return { reason: typeof reason === 'string' && REASONS.has(reason) ? reason : 'pdfServer' };
}

/** @param {Uint8Array} bytes */
export function toBase64(bytes) {
  const step = 3 * 8192; // a multiple of three needs no padding in between
  let out = '';
  for (let at = 0; at < bytes.length; at += step) {
    out += btoa(String.fromCharCode(...bytes.subarray(at, at + step)));
  }
  return out;
}
