// The languages of the page, which of them is used, and its words.

/** @typedef {string | Partial<Record<Intl.LDMLPluralRule, string>>} Text one text, or one for each plural category */
/** @typedef {Record<string, Text>} Table */

/** Names of the languages as they call themselves. */
export const LANGUAGES = new Map([
  ['en', 'English'],
  ['de', 'Deutsch'],
  ['fr', 'Français'],
  ['es', 'Español'],
  ['pt', 'Português'],
  ['zh', '中文'],
  ['ja', '日本語'],
  ['ar', 'العربية'],
  ['hi', 'हिन्दी'],
]);

/**
 * The language of the page: the one that was chosen, else the first of the browser's that there is, else English.
 * `locale` is how the browser spells it, such as `de-AT`: it decides on numbers and dates.
 *
 * @param {readonly string[]} languages `navigator.languages`
 * @param {string} [setting] empty: as the browser
 * @returns {{language: string, locale: string, direction: 'ltr' | 'rtl'}}
 */
export function choose(languages, setting = '') {
  const known = languages.filter((name) => LANGUAGES.has(baseOf(name)));
  const language = LANGUAGES.has(setting) ? setting : baseOf(known[0] ?? 'en');
  const locale = known.find((name) => baseOf(name) === language && isLocale(name)) ?? language;
  return { language, locale, direction: language === 'ar' ? 'rtl' : 'ltr' };
}

/** @param {string} name such as `pt-BR` */
const baseOf = (name) => name.toLowerCase().split(/[-_]/)[0];

/** @param {string} name */
function isLocale(name) {
  try {
    return Intl.getCanonicalLocales(name).length === 1;
  } catch {
    return false;
  }
}

/**
 * The words of a language. Each table is a module of its own, loaded when it is needed.
 *
 * @param {string} language
 * @returns {Promise<Table>}
 */
export async function loadTable(language) {
  if (!LANGUAGES.has(language)) throw new RangeError(`no words for ${language}`);
  return (await import(`./${language}.js`))[language];
}

/**
 * A text with its values in place. `count` chooses the plural; numbers are written as the language writes them.
 *
 * @param {Table} table
 * @param {string} locale
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function translate(table, locale, key, values = {}) {
  const text = textFor(table[key], locale, values.count) ?? key;
  const isRightToLeft = baseOf(locale) === 'ar';
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    if (typeof value === 'number') return new Intl.NumberFormat(locale).format(value);
    // A name in Latin letters must not pull the words around it to its own direction.
    return isRightToLeft ? `\u2068${value}\u2069` : value;
  });
}

/** @param {Text | undefined} text @param {string} locale @param {unknown} count */
function textFor(text, locale, count) {
  if (typeof text !== 'object') return text;
  return text[new Intl.PluralRules(locale).select(Number(count))] ?? text.other;
}
