// The same records in a Storage, or what looks like one, where there is no IndexedDB.

const PREFIX = 'chat.';

export class WebStorage {
  /**
   * @param {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} area
   * @param {() => string[]} names
   * @param {string} kind
   */
  constructor(area, names, kind) {
    this.kind = kind;
    this.area = area;
    this.names = names;
  }

  #name(store, key) {
    return `${PREFIX}${store}/${key}`;
  }

  async keys(store, prefix = '') {
    const start = this.#name(store, prefix);
    const names = this.names().filter((name) => name.startsWith(start));
    return names.map((name) => name.slice(this.#name(store, '').length)).sort();
  }

  async list(store, prefix = '') {
    return this.read(store, await this.keys(store, prefix));
  }

  async read(store, keys) {
    return keys.map((key) => parsed(this.area.getItem(this.#name(store, key))));
  }

  async each(store, visit) {
    for (const value of await this.list(store)) if (visit(value) === false) return;
  }

  async write(changes) {
    for (const { store, key, value } of changes) {
      if (value === undefined) this.area.removeItem(this.#name(store, key));
      else this.area.setItem(this.#name(store, key), JSON.stringify(value));
    }
  }

  async update(store, key, change) {
    const [value] = await this.read(store, [key]);
    await this.write([{ store, key, value: change(value) }]);
  }
}

function parsed(text) {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
