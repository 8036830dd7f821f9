// Kept (browser): editions in the Cache API, one cache each, and one entry that says which of them is used.

const STATE = "state.json";

export class Kept {
  constructor(base) {
    this.base = base;
    this.name = `servable ${base.href}`;
    /** A newer browser has to prove an edition anew. */
    this.agent = navigator.userAgent;
  }

  async state() {
    if (!globalThis.caches) throw new Error("a page needs HTTPS for that");
    const found = await (await caches.open(this.name)).match(new URL(STATE, this.base));
    return found && found.json();
  }

  /** One entry, put as a whole: whoever opens the page next sees all of it or what was before. */
  async save(state) {
    if (globalThis.caches) await (await caches.open(this.name)).put(new URL(STATE, this.base), Response.json(state));
  }

  async read(sequence, name) {
    const found = await (await caches.open(this.of(sequence))).match(new URL(name, this.base));
    return found ? new Uint8Array(await found.arrayBuffer()) : null;
  }

  async write(sequence, name, bytes) {
    await (await caches.open(this.of(sequence))).put(new URL(name, this.base), new Response(bytes));
  }

  /** Nothing to do: an edition counts once the state names it. */
  async seal() {}

  async keepOnly(sequences) {
    const kept = sequences.map((each) => this.of(each));
    const own = (await caches.keys()).filter((name) => name.startsWith(`${this.name} `) && !kept.includes(name));
    await Promise.all(own.map((name) => caches.delete(name)));
  }

  /** Do something that no other page of this export does meanwhile; undefined where one does. */
  alone(does) {
    return navigator.locks ? navigator.locks.request(this.name, { ifAvailable: true }, (lock) => (lock ? does() : undefined)) : does();
  }

  of(sequence) {
    return `${this.name} ${sequence}`;
  }
}
