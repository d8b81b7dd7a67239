// The words of the page in the language that was chosen, with English in place of what a table lacks.

import { en } from './languages/en.js';
import { translate } from './languages/tables.js';
import { localised } from './languages/values.js';

const used = { table: en, locale: 'en', direction: 'ltr' };

/** @param {import('./languages/tables.js').Table} table @param {string} locale @param {'ltr' | 'rtl'} direction */
export function useWords(table, locale, direction) {
  Object.assign(used, { table: { ...en, ...table }, locale, direction });
}

/** How numbers and dates are written, such as `de-AT`. */
export const locale = () => used.locale;

export const direction = () => used.direction;

/**
 * A text of the page.
 *
 * @param {string} key
 * @param {Record<string, string | number>} [values] `count` chooses the plural
 */
export const t = (key, values = {}) => translate(used.table, used.locale, key, localised(values, used.locale));
