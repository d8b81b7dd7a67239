// The words of the page in the language that was chosen, with English in place of what a table lacks.

import { en } from './languages/en.js';
import { translate } from './languages/tables.js';
import { localised } from './languages/values.js';

const used = { table: en, locale: 'en' };

/** @param {import('./languages/tables.js').Table} table @param {string} locale */
export function useWords(table, locale) {
  used.table = { ...en, ...table };
  used.locale = locale;
}

/** How numbers and dates are written, such as `de-AT`. */
export const locale = () => used.locale;

/**
 * A text of the page.
 *
 * @param {string} key
 * @param {Record<string, string | number>} [values] `count` chooses the plural
 */
export const t = (key, values = {}) => translate(used.table, used.locale, key, localised(values, used.locale));
