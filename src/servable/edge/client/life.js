// Life: a model that goes on after its export. It answers by the edition in use, or asks a server where this device cannot
// or may not; it keeps what goes home later, and looks for newer editions.

import { ServableError } from "./contract.js";
import { Editions, parsed, SHIPPED } from "./editions.js";
import { askedRows, toldRows } from "./recorded.js";
import { Remote } from "./server.js";
import { stopped } from "./standing.js";
import { Updates } from "./updates.js";
import { outOfMemory, TIMED, tooLarge, tooSlow } from "./weak.js";

/** A model by its editions; `parts` are those of `editions.js`, and what differs between browsers and Node: `queue` for what
 * goes home later (null: nothing does), `memory` of the device in bytes (where it is known), and the server's `key`. */
export class Life {
  constructor(settings, { queue, key, memory, ...parts }) {
    this.settings = settings;
    this.queue = queue;
    this.key = key;
    this.times = [];
    /** Why the server answers in the place of this device; null: it does not. */
    this.away = null;
    const tell = (update, message) => this.tell(update, message);
    this.editions = new Editions(settings, { ...parts, open: (read) => this.open(read, parts.open, memory) }, tell);
    this.updates = new Updates(settings, this.editions, tell);
    /** What became of the last look for an update: a word for programs, a sentence for people. */
    this.state = { update: "unknown", message: "no look for updates yet" };
    /** Called when the state, or the edition, is another one. */
    this.onchange = () => {};
    if (queue) queue.onchange = () => this.onchange(this);
  }

  /** Open what was used last, and begin to look for updates. Throws ServableError where not even the export can be opened. */
  async begin() {
    await this.editions.begin().catch((error) => this.leave(error));
    this.queue?.begin();
    if (this.settings.updates && this.device !== "server") this.updates.look(0);
    return this;
  }

  get contract() {
    return this.editions.model.contract;
  }

  get device() {
    return this.editions.model.device;
  }

  /** Why the edition in use may not answer; null: it may. */
  get stopped() {
    return stopped(this.contract, this.editions.known, this.settings.grace_s, Date.now());
  }

  /** As a model's own; where answers are kept for the server, they have an `id`. */
  predict(rows) {
    return this.recorded((model) => model.predict(rows), () => rows);
  }

  infer(inputs) {
    return this.recorded((model) => model.infer(inputs), () => askedRows(inputs, this.contract));
  }

  async recorded(does, asked) {
    if (!this.queue) return this.ask(does);
    const id = crypto.randomUUID();
    const { contract } = this;
    const keep = (told, error) => this.queue.keep(id, contract.version, asked(), told, error).catch(() => this.queue.dropped++);
    try {
      const told = await this.ask(does);
      if (told.id) return told; // the server gave it, and knows
      keep(told.rows ?? toldRows(told.outputs, contract));
      return { id, ...told };
    } catch (error) {
      if (error.code === "refused") keep(null, error.code);
      throw error;
    }
  }

  /** What became of an answer, by its id. Resolves once it is kept on this device; the server hears of it when it can. */
  outcome(id, value) {
    if (!this.queue) throw new ServableError("unsupported", "this export sends nothing home: it was made without --records");
    return this.queue.tell(id, value);
  }

  async ask(does) {
    const reason = this.stopped ?? this.away;
    if (reason && this.settings.server) return does(this.remote());
    if (reason) throw new ServableError("unavailable", reason);
    const { model, calls } = this.editions.edition;
    const began = performance.now();
    const call = does(model);
    calls.add(call);
    try {
      const told = await call;
      this.time(performance.now() - began);
      return told;
    } catch (error) {
      return await this.instead(error, does);
    } finally {
      calls.delete(call);
    }
  }

  /** The server's answer, if there is one, where a rule hands rows over, or the device runs out of memory on its way. */
  async instead(error, does) {
    if (!this.settings.server) throw error;
    if (error.code === "model_failed" && outOfMemory(error)) {
      this.goAway(`this device has too little memory: ${error.message}`);
    } else if (!error.fallback) throw error;
    try {
      return await does(this.remote());
    } catch (failed) {
      if (failed.code !== "unavailable") throw failed;
      throw Object.assign(error, { code: failed.code, message: `${error.message}; ${failed.message}` });
    }
  }

  /** A device that is too slow leaves it to the server. */
  time(took_ms) {
    const { server, slowest_ms } = this.settings;
    if (!server || slowest_ms === null || this.away) return;
    this.times = [...this.times, took_ms].slice(-TIMED);
    const why = tooSlow(this.times, slowest_ms);
    if (why) this.goAway(why);
  }

  goAway(why) {
    this.away = `the server answers: ${why}`;
    this.onchange(this);
  }

  /** Where the device cannot load the model at all, the server answers, if there is one. */
  async leave(error) {
    if (!this.settings.server || error.code === "unavailable") throw error;
    const contract = parsed(await this.editions.shipped("contract.json"));
    this.editions.use(SHIPPED, new Remote(contract, this.settings.server, this.key));
    this.away = `the server answers, as this device cannot: ${error.message}`;
  }

  /** A model of files; where a server answers in its place, only one that this device has the memory for. */
  async open(read, open, memory) {
    const why = this.settings.server && tooLarge(parsed(await read("contract.json")), memory);
    if (why) throw new ServableError("unsupported", why);
    return open(read);
  }

  remote() {
    return new Remote(this.contract, this.settings.server, this.key);
  }

  /** Look for an update now, and take it if it holds. Resolves with the state; what fails changes nothing in use. */
  async update() {
    await this.updates.update();
    return this.state;
  }

  /** Go back to the edition before this one, and not take this one again. */
  async rollback(reason = "it was asked for") {
    if (await this.editions.back()) this.tell("rolled-back", `went back to version ${this.contract.version}: ${reason}`);
  }

  /** Give back the memory, and look no more. */
  close() {
    this.updates.close();
    this.queue?.close();
    return this.editions.model.close();
  }

  tell(update, message) {
    this.state = { update, message };
    this.onchange(this);
  }
}
