// The list of conversations by day: today, yesterday, the week and month before, then months by their names.

const DAY = 86_400_000;

/**
 * The group of a day. `key` is a key of the words, or empty where `label` is the name of a month.
 *
 * @typedef {{id: string, key: string, label: string}} DayGroup
 * @param {number} at
 * @param {number} now
 * @param {string} locale
 * @returns {DayGroup}
 */
export function dayGroup(at, now, locale) {
  const days = Math.round((startOfDay(now) - startOfDay(at)) / DAY);
  const key =
    days <= 0 ? 'days.today' : days === 1 ? 'days.yesterday' : days <= 7 ? 'days.week' : days <= 30 ? 'days.month' : '';
  if (key) return { id: key, key, label: '' };
  const date = new Date(at);
  const isThisYear = date.getFullYear() === new Date(now).getFullYear();
  const format = new Intl.DateTimeFormat(locale, { month: 'long', ...(isThisYear ? {} : { year: 'numeric' }) });
  const name = format.format(date);
  const label = name.charAt(0).toLocaleUpperCase(locale) + name.slice(1);
  return { id: `${date.getFullYear()}-${date.getMonth() + 1}`, key: '', label };
}

/**
 * Things in groups by their day, in the order in which they come.
 *
 * @template T
 * @param {T[]} things the newest first
 * @param {(thing: T) => number} timeOf
 * @param {number} now
 * @param {string} locale
 * @returns {(DayGroup & {things: T[]})[]}
 */
export function byDay(things, timeOf, now, locale) {
  /** @type {Map<string, DayGroup & {things: T[]}>} */
  const groups = new Map();
  for (const thing of things) {
    const group = dayGroup(timeOf(thing), now, locale);
    const known = groups.get(group.id);
    if (known) known.things.push(thing);
    else groups.set(group.id, { ...group, things: [thing] });
  }
  return [...groups.values()];
}

/** The local midnight before a time, in milliseconds of a calendar without summer time. @param {number} at */
function startOfDay(at) {
  const date = new Date(at);
  return Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
}
