// Editions: a model in the form that was shipped, and newer ones that are kept on this device; which of them is used. One
// is proven on this device before it is used, the one before it is kept. An edition is data, never code.

import { prove } from "./golden.js";
import { Held, reasonOf } from "./held.js";
import { sha256 } from "./signed.js";

export const SHIPPED = 0;
const NEW = { current: SHIPPED, previous: SHIPPED, newest: 0, checked: 0, first: 0, bad: [], disabled: {}, proven: {} };

/** `shipped(name)` reads a file of the export, `kept` is where others are kept (`kept_browser.js`, `kept_node.js`),
 * `open(read)` makes a model of files, `tell(state, message)` says what became of one. */
export class Editions {
  constructor(settings, { shipped, kept, open }, tell) {
    this.settings = settings;
    this.shipped = shipped;
    this.kept = kept;
    this.open = open;
    this.tell = tell;
    /** What this device remembers of editions, and of its publisher's will. */
    this.known = { ...NEW };
    /** The one in use. */
    this.edition = null;
  }

  /** Read what was remembered, and open what was used last. Throws ServableError where not even the export can be opened. */
  async begin() {
    const found = await this.kept.state().catch((error) => this.unkept(error));
    this.known = { ...NEW, first: Date.now(), ...found };
    if (this.known.current < this.settings.sequence) Object.assign(this.known, { current: SHIPPED, previous: SHIPPED });
    await this.choose();
  }

  get model() {
    return this.edition.model;
  }

  /** The newest edition that can be opened and proves itself here; at the last the one that was shipped. */
  async choose() {
    const { current, previous } = this.known;
    for (const sequence of new Set([current, previous, SHIPPED])) {
      try {
        this.use(sequence, await this.opened(sequence));
        break;
      } catch (error) {
        if (sequence === SHIPPED) throw error;
        const [state, message] = reasonOf(error);
        if (state === "rejected") this.known.bad.push(sequence);
        this.tell("rolled-back", `the kept edition cannot be used, and one before it is: ${message}`);
      }
    }
    const now = this.edition.sequence;
    Object.assign(this.known, { current: now, previous: now === current ? previous : SHIPPED });
    try {
      await this.save();
      if (now !== current) await this.kept.keepOnly([now]);
    } catch (error) {
      this.unkept(error);
    }
  }

  async opened(sequence) {
    const read = (name) => this.read(sequence, name);
    const model = await this.open(read);
    if (sequence === SHIPPED || this.known.proven[sequence] === this.kept.agent) return model;
    try {
      await prove(model, parsed(await read("golden.json")));
    } catch (error) {
      await model.close();
      throw error;
    }
    this.known.proven = { [this.known.current]: this.known.proven[this.known.current], [sequence]: this.kept.agent };
    return model;
  }

  async read(sequence, name) {
    if (sequence === SHIPPED) return this.shipped(name);
    const bytes = await this.kept.read(sequence, name);
    if (!bytes) throw new Held("damaged", `the kept ${name} is gone`);
    return bytes;
  }

  /** The old edition answers what it was asked before; then its memory goes back. */
  use(sequence, model) {
    const old = this.edition;
    this.edition = { sequence, model, calls: new Set() };
    if (old) Promise.allSettled([...old.calls]).then(() => old.model.close());
  }

  /** Make an opened edition the one that counts, also after the next start, and keep the one before it. */
  async swap(sequence, model) {
    Object.assign(this.known, { current: sequence, previous: this.known.current });
    await this.save(); // from here on it is the one
    this.use(sequence, model);
    await this.tidy();
  }

  /** Go back to the edition before this one, and not take this one again. Resolves with whether there was one. */
  async back() {
    if (this.known.current === SHIPPED) return false;
    this.known.bad.push(this.known.current);
    Object.assign(this.known, { current: this.known.previous, previous: SHIPPED });
    await this.choose();
    return true;
  }

  /** The files that are here already, by digest. */
  async files() {
    const have = new Map();
    for (const sequence of new Set([this.known.previous, this.known.current])) {
      const told = await this.read(sequence, "contract.json").catch(() => null);
      if (!told) continue;
      have.set(await sha256(told), { sequence, name: "contract.json" });
      const { file, tokenizer } = parsed(told);
      for (const each of [file, tokenizer?.file]) if (each) have.set(each.sha256, { sequence, name: each.path });
    }
    return have;
  }

  save() {
    return this.kept.save(this.known);
  }

  tidy() {
    return this.kept.keepOnly([this.known.current, this.known.previous]);
  }

  unkept(error) {
    this.tell("unkept", `nothing can be kept on this device: ${error.message}`);
  }
}

/** JSON from bytes. */
export function parsed(bytes) {
  return JSON.parse(new TextDecoder().decode(bytes));
}
