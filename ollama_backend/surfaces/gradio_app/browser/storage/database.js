// Records in IndexedDB: stores of values under text keys. Needs a browser.

const NAME = 'chat';
const VERSION = 2;
export const STORES = ['conversations', 'messages', 'parts', 'html', 'pictures'];

/** A change of a record; without a value it is deleted. @typedef {{store: string, key: string, value?: any}} Change */

const settled = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** Do something in a transaction; what throws leaves nothing behind. */
function orAbort(transaction, act) {
  try {
    act();
  } catch (error) {
    console.warn(error.message);
    transaction.abort();
  }
}

/** @param {IDBFactory} factory @returns {Promise<Database>} */
export async function openDatabase(factory) {
  const request = factory.open(NAME, VERSION);
  request.onupgradeneeded = () => {
    const missing = STORES.filter((store) => !request.result.objectStoreNames.contains(store));
    for (const store of missing) request.result.createObjectStore(store);
  };
  return new Database(await settled(request));
}

/** The keys that begin with a text. */
const startingWith = (prefix) => (prefix ? IDBKeyRange.bound(prefix, `${prefix}\uffff`) : undefined);

export class Database {
  /** @param {IDBDatabase} db */
  constructor(db) {
    this.kind = 'database';
    this.db = db;
    // A newer version of the page, in another tab, needs another layout: this tab must not stand in its way.
    db.onversionchange = () => db.close();
  }

  /** The values whose keys begin with a text, in the order of their keys. */
  list(store, prefix = '') {
    return settled(this.db.transaction(store).objectStore(store).getAll(startingWith(prefix)));
  }

  keys(store, prefix = '') {
    return settled(this.db.transaction(store).objectStore(store).getAllKeys(startingWith(prefix)));
  }

  /** The values under some keys, undefined for those that are missing. */
  async read(store, keys) {
    const objects = this.db.transaction(store).objectStore(store);
    return Promise.all(keys.map((key) => settled(objects.get(key))));
  }

  /** Call a function with every value of a store, one after the other, until it returns false. */
  async each(store, visit) {
    const request = this.db.transaction(store).objectStore(store).openCursor();
    await new Promise((resolve, reject) => {
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const cursor = request.result;
        if (cursor && visit(cursor.value) !== false) cursor.continue();
        else resolve(undefined);
      };
    });
  }

  /** Make all changes or none. @param {Change[]} changes */
  write(changes) {
    return this.#inOne(
      changes.map((each) => each.store),
      (transaction) => {
        for (const { store, key, value } of changes) {
          const objects = transaction.objectStore(store);
          if (value === undefined) objects.delete(key);
          else objects.put(value, key);
        }
        // Without this a page that is left at once may take the write with it.
        transaction.commit?.();
      },
    );
  }

  /** Replace a record by what a function makes of it; nothing that another tab writes comes between. */
  update(store, key, change) {
    return this.#inOne([store], (transaction) => {
      const objects = transaction.objectStore(store);
      const request = objects.get(key);
      request.onsuccess = () => orAbort(transaction, () => objects.put(change(request.result), key));
    });
  }

  #inOne(stores, act) {
    const transaction = this.db.transaction([...new Set(stores)], 'readwrite', { durability: 'relaxed' });
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(undefined);
      transaction.onabort = () => reject(transaction.error ?? new DOMException('aborted', 'AbortError'));
      orAbort(transaction, () => act(transaction));
    });
  }
}
