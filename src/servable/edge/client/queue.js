// Queue: what was answered on this device, and what became of it, until the server has it on its disk. Of answers a share
// is kept, and of their inputs the columns that may leave; what waits is bounded, and the oldest answers go first. What was
// told of an outcome is never let go of: whoever tells one hears if there is no room for it.

import { ServableError } from "./contract.js";
import { noRoom } from "./held.js";

const AT_ONCE = 100;
const SOON_MS = 5_000;
const FIRST_RETRY_MS = 60_000;
const LAST_RETRY_MS = 6 * 3_600_000;
const WAIT_MS = 60_000;
/** Where there is no room, one of so many answers makes some. */
const PART = 10;
/** A server that says so will never take these: they are dropped, and counted. */
const NEVER = [400, 413, 422];

/** `waiting` is where entries lie (`waiting_browser.js`, `waiting_node.js`); `settings` are those of the export. */
export class Queue {
  constructor({ name, server, records }, waiting, key) {
    this.records = records;
    this.waiting = waiting;
    this.base = new URL(`v2/models/${name}/`, server);
    this.headers = { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
    this.failures = 0;
    this.dropped = 0;
    this.refused = 0;
    /** Why nothing more can be kept; null: it can. */
    this.full = null;
    /** Called when that is another one. */
    this.onchange = () => {};
  }

  /** Begin to send what waits from before. */
  begin() {
    globalThis.addEventListener?.("online", () => this.later(0));
    this.later(0);
    return this;
  }

  /** Keep an answer, or the code of a refusal, if it is in the share. Resolves once it is on this device. */
  async keep(id, version, rows, outputs, error = "") {
    const { columns, share } = this.records;
    if (Math.random() >= share) return;
    const inputs = rows.map((row) => Object.fromEntries(columns.filter((name) => name in row).map((name) => [name, row[name]])));
    await this.add({ kind: "records", id, version, time: Date.now() / 1000, inputs, outputs, error, share });
  }

  /** Keep an outcome. Resolves once it is on this device, or with the server. Throws ServableError where neither has room. */
  async tell(id, outcome) {
    const entry = { kind: "outcomes", id, outcome, time: Date.now() / 1000 };
    try {
      await this.add(entry);
    } catch (error) {
      if (!noRoom(error)) throw error;
      if (await this.post(entry.kind, [{ entry }])) return;
      throw new ServableError("unavailable", `${this.full}, and the server cannot be reached: the outcome of '${id}' is not kept; tell it again`);
    }
  }

  async add(entry) {
    try {
      await this.waiting.add(entry);
    } catch (error) {
      if (!noRoom(error)) throw error;
      await this.squeeze(entry);
    }
    this.say(null);
    const over = (await this.waiting.count()) - this.records.most;
    if (over > 0) {
      const oldest = (await this.answers()).slice(0, over);
      await this.waiting.remove(oldest);
      this.dropped += oldest.length;
    }
    if (!this.failures) this.later(SOON_MS);
  }

  /** Keep an entry in the place of the oldest answers. Throws where that makes no room either: then these stay. */
  async squeeze(entry) {
    const answers = await this.answers();
    const oldest = answers.slice(0, Math.ceil(answers.length / PART));
    try {
      if (!oldest.length) throw Object.assign(new Error("there is nothing to let go of"), { code: "ENOSPC" });
      await this.waiting.replace(oldest, entry);
    } catch (error) {
      if (noRoom(error)) this.say("there is no room on this device for more of what goes home");
      throw error;
    }
    this.dropped += oldest.length;
  }

  /** The keys of the answers that wait, the oldest first. */
  async answers() {
    return (await this.waiting.first(this.records.most)).filter(({ entry }) => entry.kind === "records").map(({ key }) => key);
  }

  say(full) {
    if (full === this.full) return;
    this.full = full;
    this.onchange();
  }

  later(in_ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), in_ms);
    this.timer.unref?.();
  }

  /** Send what waits. Resolves with how many entries still wait; what the server has not acknowledged stays. */
  send() {
    this.sending ??= this.sent().finally(() => (this.sending = null));
    return this.sending;
  }

  async sent() {
    for (;;) {
      const some = await this.waiting.first(AT_ONCE);
      if (!some.length) return 0;
      for (const kind of ["records", "outcomes"]) {
        const own = some.filter(({ entry }) => entry.kind === kind);
        if (own.length && !(await this.post(kind, own))) {
          this.failures++;
          this.later(Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.failures - 1)));
          return this.waiting.count();
        }
      }
      this.failures = 0;
    }
  }

  /** Whether the server has them, or never will. */
  async post(kind, own) {
    const path = kind === "records" ? "records" : "feedback";
    const body = JSON.stringify({ [kind]: own.map(({ entry: { kind: _, ...told } }) => told) });
    try {
      const response = await fetch(new URL(path, this.base), { method: "POST", headers: this.headers, body, signal: AbortSignal.timeout(WAIT_MS) });
      if (!response.ok && !NEVER.includes(response.status)) return false;
      if (!response.ok) this.refused += own.length;
    } catch {
      return false; // no network: later
    }
    await this.waiting.remove(own.filter(({ key }) => key !== undefined).map(({ key }) => key));
    return true;
  }

  close() {
    clearTimeout(this.timer);
  }
}
