// Small things that must be kept at once: localStorage, sessionStorage, and what takes their place. Needs a browser.

/**
 * A Storage in the entry of the frame's history: it outlives a reload of the frame where the browser denies storage,
 * and no other site can read it, as it could `window.name`.
 */
class Shelf {
  #kept;
  #timer = null;

  constructor(window) {
    this.window = window;
    this.#kept = new Map(Object.entries(window.history.state?.chat ?? {}));
    window.addEventListener('pagehide', () => this.#timer && this.write());
    // Another entry holds what was there when it was left.
    window.addEventListener('popstate', () => this.write());
  }

  getItem(name) {
    return this.#kept.get(name) ?? null;
  }

  setItem(name, value) {
    this.#kept.set(name, String(value));
    this.#later();
  }

  removeItem(name) {
    this.#kept.delete(name);
    this.#later();
  }

  keys() {
    return [...this.#kept.keys()];
  }

  #later() {
    this.#timer ??= setTimeout(() => this.write(), 300);
  }

  /** Write everything into the entry that is shown now. */
  write() {
    clearTimeout(this.#timer);
    this.#timer = null;
    try {
      const { history } = this.window;
      history.replaceState({ ...history.state, chat: Object.fromEntries(this.#kept) }, '');
    } catch {
      // Too much for it: it stays in memory.
    }
  }
}

const isFull = (error) => error?.name === 'QuotaExceededError' || error?.name === 'NS_ERROR_DOM_QUOTA_REACHED';

function usable(window, name) {
  try {
    const storage = window[name];
    try {
      storage.setItem('chat.probe', '1');
      storage.removeItem('chat.probe');
    } catch (error) {
      if (!isFull(error)) throw error;
    }
    return storage;
  } catch {
    return null;
  }
}

/** Set an item, and tell whether there was room for it. */
export function setItem(area, name, value) {
  try {
    area.setItem(name, value);
    return true;
  } catch {
    return false;
  }
}

/** @returns {{local: Storage | Shelf, tab: Storage | Shelf, shelf: Shelf | null}} */
export function openAreas(window) {
  const local = usable(window, 'localStorage');
  const tab = usable(window, 'sessionStorage');
  const shelf = local && tab ? null : new Shelf(window);
  return { local: local ?? shelf, tab: tab ?? shelf, shelf };
}

export const namesOf = (area) => (area instanceof Shelf ? area.keys() : Object.keys(area));
