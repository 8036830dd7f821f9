// Waiting (browser): entries of the queue in IndexedDB, in the order in which they came.

const STORE = "waiting";

export class Waiting {
  constructor(base) {
    this.opened = new Promise((resolve, reject) => {
      const request = indexedDB.open(`servable ${base.href}`, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { autoIncrement: true });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    this.opened.catch(() => {}); // whoever adds something hears of it
  }

  add(entry) {
    return this.does("readwrite", (store) => store.add(entry));
  }

  count() {
    return this.does("readonly", (store) => store.count());
  }

  async first(most) {
    const [keys, entries] = await Promise.all([this.does("readonly", (store) => store.getAllKeys(null, most)), this.does("readonly", (store) => store.getAll(null, most))]);
    return keys.map((key, at) => ({ key, entry: entries[at] })).filter(({ entry }) => entry);
  }

  remove(keys) {
    return this.does("readwrite", (store) => keys.map((key) => store.delete(key)).at(-1));
  }

  /** An entry in the place of others: all of it, or nothing. */
  replace(keys, entry) {
    return this.does("readwrite", (store) => {
      keys.forEach((key) => store.delete(key));
      return store.add(entry);
    });
  }

  /** Resolves once the transaction is over, so that what was added is on the disk. */
  async does(mode, act) {
    const transaction = (await this.opened).transaction(STORE, mode, { durability: "strict" });
    const request = act(transaction.objectStore(STORE));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request?.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  }
}
