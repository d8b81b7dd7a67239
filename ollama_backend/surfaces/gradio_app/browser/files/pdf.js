// PDF files: the server takes their text out and keeps nothing; a browser has no reader for them.

/** The most bytes of a PDF that the server reads for someone with a key. */
export const PDF_BYTES = 20 * 2 ** 20;

/** Reasons that the server gives (pdf_text.py), each with its sentence `file.refused.REASON`. */
const REASONS = new Set(['pdfDamaged', 'pdfEncrypted', 'pdfTooLong', 'pdfTooMuch']);

/** What other refusals mean; the rest is `pdfServer`. */
const BY_STATUS = new Map([
  [401, 'pdfKey'],
  [413, 'pdfTooLarge'],
  [503, 'pdfBusy'],
]);

/**
 * @typedef {{status: number, json: () => Promise<unknown>}} Answer what of a Response is needed
 * @typedef {(pdf: Uint8Array) => Promise<Answer>} SendPdf sends a PDF to `page/pdf-text` as the body of a POST
 */

/**
 * The text of each page, and how many pages could not be read.
 *
 * @param {Uint8Array} bytes
 * @param {SendPdf} send
 * @returns {Promise<{pages: string[], unreadable: number} | {reason: string}>} `reason` ends a key of the words
 */
export async function readPdf(bytes, send) {
  try {
    const answer = await send(bytes);
    /** @type {any} */
    const body = (await answer.json()) ?? {};
    const isText =
      Array.isArray(body.pages) && body.pages.every((/** @type {unknown} */ page) => typeof page === 'string');
    if (answer.status !== 200 || !isText) {
      return { reason: REASONS.has(body.reason) ? body.reason : (BY_STATUS.get(answer.status) ?? 'pdfServer') };
    }
    const hasText = body.pages.some((/** @type {string} */ page) => page.trim());
    return hasText ? { pages: body.pages, unreadable: Number(body.unreadable) || 0 } : { reason: 'pdfPictures' };
  } catch {
    return { reason: 'pdfServer' };
  }
}
