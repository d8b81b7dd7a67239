// Numbers, sizes and shares as a language writes them.

const UNITS = /** @type {const} */ (['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte']);

/**
 * A size in bytes with two or three figures: 4.7 GB, 350 kB.
 *
 * @param {number} bytes
 * @param {string} locale
 */
export function formatBytes(bytes, locale) {
  const power = bytes < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return new Intl.NumberFormat(locale, {
    style: 'unit',
    unit: UNITS[power],
    unitDisplay: power ? 'short' : 'long',
    maximumFractionDigits: power && value < 9.95 ? 1 : 0,
  }).format(value);
}

/** @param {number} share of one @param {string} locale */
export const formatPercent = (share, locale) =>
  new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 }).format(share);

/** Tokens per second: one decimal below a hundred. @param {number} speed @param {string} locale */
export const formatSpeed = (speed, locale) =>
  new Intl.NumberFormat(locale, { maximumFractionDigits: speed < 100 ? 1 : 0 }).format(speed);
