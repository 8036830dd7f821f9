// Life: a model that goes on after its export. It looks for newer editions, proves one on this device before it is used,
// keeps the one before it, and goes back where one fails. An edition is data, never code: contract, model, golden rows.

import { ServableError } from "./contract.js";
import { prove } from "./golden.js";
import { Remote } from "./server.js";
import { fetched, Held, reasonOf } from "./held.js";
import { sha256, verified } from "./signed.js";
import { stopped } from "./standing.js";

/** What this client understands; an update may need more. */
const UNDERSTANDS = 1;
const SHIPPED = 0;
const FIRST_RETRY_S = 60;
const TIMED = 9;
const ENOUGH = 5;
const LOOK_MS = 30_000;
const FETCH_MS = 600_000;
const NEW = { current: SHIPPED, previous: SHIPPED, newest: 0, checked: 0, first: 0, bad: [], disabled: {}, proven: {} };

/** A model by its editions. `shipped(name)` reads a file of the export, `kept` is where others are kept (`kept_browser.js`,
 * `kept_node.js`), `open(read)` makes a model of files. */
export class Life {
  constructor(settings, shipped, kept, open, key, queue = null) {
    /** What goes home later; null: nothing does. */
    this.queue = queue;
    this.key = key;
    this.times = [];
    /** Why the server answers in the place of this device; null: it does not. */
    this.away = null;
    this.settings = settings;
    this.shipped = shipped;
    this.kept = kept;
    this.open = open;
    this.known = { ...NEW };
    this.edition = null;
    this.failures = 0;
    /** What became of the last look for an update: a word for programs, a sentence for people. */
    this.state = { update: "unknown", message: "no look for updates yet" };
    /** Called when the state, or the edition, is another one. */
    this.onchange = () => {};
  }

  /** Open what was used last, and begin to look for updates. Throws ServableError where not even the export can be opened. */
  async begin() {
    const found = await this.kept.state().catch((error) => this.tell("unkept", `nothing can be kept on this device: ${error.message}`));
    this.known = { ...NEW, first: Date.now(), ...found };
    if (this.known.current < this.settings.sequence) Object.assign(this.known, { current: SHIPPED, previous: SHIPPED });
    await this.choose().catch((error) => this.leave(error));
    this.queue?.begin();
    if (this.settings.updates && this.device !== "server") this.look(0);
    return this;
  }

  get contract() {
    return this.edition.model.contract;
  }

  get device() {
    return this.edition.model.device;
  }

  /** As a model's own; where answers are kept for the server, they have an `id`. */
  async predict(rows) {
    const answer = this.ask((model) => model.predict(rows));
    if (!this.queue) return answer;
    const id = crypto.randomUUID();
    const { version } = this.contract;
    const keep = (told, error) => this.queue.keep(id, version, rows, told, error).catch(() => this.queue.dropped++);
    try {
      const told = await answer;
      if (told.id) return told; // the server gave it, and knows
      keep(told);
      return { id, ...told };
    } catch (error) {
      if (error.code === "refused") keep({}, error.code);
      throw error;
    }
  }

  /** What became of an answer, by its id. Resolves once it is kept on this device; the server hears of it when it can. */
  outcome(id, value) {
    if (!this.queue) throw new ServableError("unsupported", "this export sends nothing home: it was made without --records");
    return this.queue.tell(id, value);
  }

  infer(inputs) {
    return this.ask((model) => model.infer(inputs));
  }

  async ask(does) {
    const reason = this.stopped ?? this.away;
    if (reason && this.settings.server) return does(this.remote());
    if (reason) throw new ServableError("unavailable", reason);
    const { model, calls } = this.edition;
    const began = performance.now();
    const call = does(model);
    calls.add(call);
    return call.finally(() => {
      calls.delete(call);
      this.time(performance.now() - began);
    });
  }

  /** A device that is too slow leaves it to the server: the median of its last answers, once there are some. */
  time(took_ms) {
    const { server, slowest_ms } = this.settings;
    if (!server || slowest_ms === null || this.away) return;
    this.times = [...this.times, took_ms].slice(-TIMED);
    const median = [...this.times].sort((a, b) => a - b)[Math.floor(this.times.length / 2)];
    if (this.times.length < ENOUGH || median <= slowest_ms) return;
    this.away = `an answer takes ${Math.round(median)} ms on this device, at most ${slowest_ms} are allowed: the server answers`;
    this.onchange(this);
  }

  /** Where the device cannot load the model at all, the server answers, if there is one. */
  async leave(error) {
    if (!this.settings.server || error.code === "unavailable") throw error;
    this.use(SHIPPED, new Remote(parsed(await this.shipped("contract.json")), this.settings.server, this.key));
    this.away = `the server answers, as this device cannot: ${error.message}`;
  }

  remote() {
    return new Remote(this.contract, this.settings.server, this.key);
  }

  /** Why the edition in use may not answer; null: it may. */
  get stopped() {
    return stopped(this.contract, this.known, this.settings.grace_s, Date.now());
  }

  /** Look for an update now, and take it if it holds. Resolves with the state; what fails changes nothing in use. */
  update() {
    this.updating ??= this.tried().finally(() => (this.updating = null));
    return this.updating;
  }

  async tried() {
    try {
      const done = await this.kept.alone(() => this.renew());
      this.failures = 0;
      this.tell(...(done ?? ["busy", "another page is taking the update"]));
    } catch (error) {
      this.failures++;
      this.tell(...reasonOf(error));
    }
    return this.state;
  }

  /** Go back to the edition before this one, and not take this one again. */
  async rollback(reason = "it was asked for") {
    if (this.known.current === SHIPPED) return;
    this.known.bad.push(this.known.current);
    Object.assign(this.known, { current: this.known.previous, previous: SHIPPED });
    await this.choose();
    this.tell("rolled-back", `went back to version ${this.contract.version}: ${reason}`);
  }

  /** Give back the memory, and look no more. */
  close() {
    clearTimeout(this.timer);
    this.queue?.close();
    return this.edition.model.close();
  }

  // ---- which edition is used

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
      this.tell("unkept", `nothing can be kept on this device: ${error.message}`);
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

  // ---- updates

  async renew() {
    const { known } = this;
    const update = await this.published();
    const { sequence } = update;
    known.newest = sequence;
    known.checked = Date.now();
    known.disabled = update.disabled;
    await this.save();
    if (update.needs > UNDERSTANDS) throw new Held("too-new", `version ${update.version} needs a newer client than this page or package has`);
    if (known.disabled[update.version] !== undefined) return ["withdrawn", `version ${update.version} was withdrawn: ${known.disabled[update.version]}`];
    if (known.bad.includes(sequence)) return ["rejected", `version ${update.version} failed on this device before, and is not tried again`];
    const have = await this.files();
    const same = have.get(update.files["contract.json"].sha256)?.sequence === known.current;
    if (same || sequence <= Math.max(known.current, this.settings.sequence)) {
      return ["current", `version ${this.contract.version} is the newest`];
    }
    const model = await this.taken(update, have);
    Object.assign(known, { current: sequence, previous: known.current });
    await this.save(); // from here on it is the one
    this.use(sequence, model);
    await this.kept.keepOnly([known.current, known.previous]);
    return ["installed", `updated to version ${update.version}`];
  }

  /** What the publisher says, once it is known that it is he who does. */
  async published() {
    const { updates, trusted, name } = this.settings;
    const update = await verified(new TextDecoder().decode(await fetched(new URL("update.json", updates), LOOK_MS)), trusted);
    if (update.name !== name) throw new Held("foreign", `the update is of '${update.name}', this is '${name}'`);
    if (update.sequence < this.known.newest) throw new Held("stale", "an older update than one that was seen before is offered: it is not taken");
    return update;
  }

  /** The model of an update, all of its files on this device, whole and proven. What came before an interruption is used. */
  async taken({ sequence, version, files }, have) {
    try {
      for (const [name, file] of Object.entries(files)) {
        const there = await this.kept.read(sequence, name);
        if (!there || (await sha256(there)) !== file.sha256) await this.kept.write(sequence, name, await this.file(name, file, have));
      }
      const model = await this.opened(sequence);
      await this.kept.seal(sequence);
      return model;
    } catch (error) {
      const [state, message] = reasonOf(error);
      if (state === "rejected") this.known.bad.push(sequence);
      if (["rejected", "no-room"].includes(state)) {
        await this.kept.keepOnly([this.known.current, this.known.previous]);
        await this.save();
      }
      throw new Held(state, `version ${version} is not taken: ${message}`);
    }
  }

  async file(name, { sha256: digest, bytes: size }, have) {
    const same = have.get(digest);
    const bytes = same ? await this.read(same.sequence, same.name) : await fetched(new URL(`files/${digest}`, this.settings.updates), FETCH_MS);
    if (bytes.length !== size || (await sha256(bytes)) !== digest) {
      throw new Held("damaged", `its ${name} was cut off or changed on its way`);
    }
    return bytes;
  }

  /** The files that are here already, by digest: an update that shares some does not fetch them. */
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

  // ---- when, and what is told

  /** Look after some time, and then again and again: soon where it failed, less and less so. */
  look(in_s) {
    const wait_s = () => (this.failures ? Math.min(this.settings.every_s, FIRST_RETRY_S * 2 ** (this.failures - 1)) : this.settings.every_s);
    this.timer = setTimeout(() => this.update().finally(() => this.look(wait_s())), in_s * 1000);
    this.timer.unref?.(); // a program may end meanwhile
  }

  async save() {
    await this.kept.save(this.known);
  }

  tell(update, message) {
    this.state = { update, message };
    this.onchange(this);
  }
}

function parsed(bytes) {
  return JSON.parse(new TextDecoder().decode(bytes));
}
