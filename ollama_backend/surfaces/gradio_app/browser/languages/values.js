// The values of words as texts of a language, by their names: sizes, durations and shares.

import { formatDuration, formatEstimate } from './durations.js';
import { formatBytes, formatPercent, formatSpeed } from './numbers.js';

/** @type {Record<string, (value: number, locale: string) => string>} */
const FORMATS = {
  size: formatBytes,
  limit: formatBytes,
  percent: formatPercent,
  speed: formatSpeed,
  seconds: formatDuration,
  estimate: formatEstimate,
};

/**
 * Values for a text: `size` and `limit` in bytes, `percent` as a share of one, `seconds` as a duration that has passed
 * and `estimate` as one to come become texts; the rest stays.
 *
 * @param {Record<string, string | number>} values
 * @param {string} locale
 * @returns {Record<string, string | number>}
 */
export function localised(values, locale) {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      const isFormatted = typeof value === 'number' && Object.hasOwn(FORMATS, name);
      return [name, isFormatted ? FORMATS[name](value, locale) : value];
    }),
  );
}
