// Durations as a language writes them: exact under an answer, about for what is still to come.

/** @typedef {'second' | 'minute' | 'hour'} Unit */

/**
 * @param {number} value
 * @param {Unit} unit
 * @param {string} locale
 * @param {'short' | 'long'} display
 * @param {number} digits after the point
 */
const part = (value, unit, locale, display, digits = 0) =>
  new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: display, maximumFractionDigits: digits }).format(
    value,
  );

/**
 * A duration that has passed: 0.4 sec, 12 sec, 3 min 20 sec, 1 hr 5 min.
 *
 * @param {number} seconds
 * @param {string} locale
 */
export function formatDuration(seconds, locale) {
  const rounded = Math.round(seconds);
  if (seconds < 9.95) return part(Math.max(0, seconds), 'second', locale, 'short', 1);
  if (rounded < 60) return part(rounded, 'second', locale, 'short');
  const [large, small, step] = /** @type {[Unit, Unit, number]} */ (
    rounded < 3600 ? ['minute', 'second', 1] : ['hour', 'minute', 60]
  );
  const steps = Math.round(seconds / step);
  const [whole, rest] = [Math.floor(steps / 60), steps % 60];
  return [part(whole, large, locale, 'short'), rest ? part(rest, small, locale, 'short') : '']
    .filter(Boolean)
    .join(' ');
}

/**
 * A duration to come, in words and rounded as an estimate is: 20 seconds, 3 minutes, 2 hours.
 *
 * @param {number} seconds
 * @param {string} locale
 */
export function formatEstimate(seconds, locale) {
  if (seconds < 55) return part(Math.max(5, Math.round(seconds / 5) * 5), 'second', locale, 'long');
  if (seconds < 90 * 60) return part(Math.max(1, Math.round(seconds / 60)), 'minute', locale, 'long');
  return part(Math.round(seconds / 1800) / 2, 'hour', locale, 'long', 1);
}
