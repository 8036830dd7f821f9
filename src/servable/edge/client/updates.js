// Updates: looks for newer editions, now and then or when asked, and takes what a trusted key signed, whole or not at all.

import { fetched, Held, reasonOf } from "./held.js";
import { sha256, verified } from "./signed.js";

/** What this client understands; an update may need more. */
const UNDERSTANDS = 2;
const FIRST_RETRY_S = 60;
const LOOK_MS = 30_000;
const FETCH_MS = 600_000;

/** `editions` are those of this device, `tell(state, message)` says how a look ended. */
export class Updates {
  constructor(settings, editions, tell) {
    this.settings = settings;
    this.editions = editions;
    this.tell = tell;
    this.failures = 0;
  }

  /** Look for an update now, and take it if it holds. What fails changes nothing in use. */
  update() {
    this.updating ??= this.tried().finally(() => (this.updating = null));
    return this.updating;
  }

  async tried() {
    try {
      const done = await this.editions.kept.alone(() => this.renew());
      this.failures = 0;
      this.tell(...(done ?? ["busy", "another page is taking the update"]));
    } catch (error) {
      this.failures++;
      this.tell(...reasonOf(error));
    }
  }

  async renew() {
    const { editions, settings } = this;
    const { known } = editions;
    const update = await this.published();
    const { sequence } = update;
    known.newest = sequence;
    known.checked = Date.now();
    known.disabled = update.disabled;
    await editions.save();
    if (update.needs > UNDERSTANDS) throw new Held("too-new", `version ${update.version} needs a newer client than this page or package has`);
    if (known.disabled[update.version] !== undefined) return ["withdrawn", `version ${update.version} was withdrawn: ${known.disabled[update.version]}`];
    if (known.bad.includes(sequence)) return ["rejected", `version ${update.version} failed on this device before, and is not tried again`];
    const have = await editions.files();
    const same = have.get(update.files["contract.json"].sha256)?.sequence === known.current;
    if (same || sequence <= Math.max(known.current, settings.sequence)) {
      return ["current", `version ${editions.model.contract.version} is the newest`];
    }
    await editions.swap(sequence, await this.taken(update, have));
    return ["installed", `updated to version ${update.version}`];
  }

  /** What the publisher says, once it is known that it is he who does. */
  async published() {
    const { updates, trusted, name } = this.settings;
    const update = await verified(new TextDecoder().decode(await fetched(new URL("update.json", updates), LOOK_MS)), trusted);
    if (update.name !== name) throw new Held("foreign", `the update is of '${update.name}', this is '${name}'`);
    if (update.sequence < this.editions.known.newest) throw new Held("stale", "an older update than one that was seen before is offered: it is not taken");
    return update;
  }

  /** The model of an update, all of its files on this device, whole and proven. What came before an interruption is used. */
  async taken({ sequence, version, files }, have) {
    const { editions } = this;
    const { kept } = editions;
    try {
      for (const [name, file] of Object.entries(files)) {
        const there = await kept.read(sequence, name);
        if (!there || (await sha256(there)) !== file.sha256) await kept.write(sequence, name, await this.file(name, file, have));
      }
      const model = await editions.opened(sequence);
      await kept.seal(sequence);
      return model;
    } catch (error) {
      const [state, message] = reasonOf(error);
      if (state === "rejected") editions.known.bad.push(sequence);
      if (["rejected", "no-room"].includes(state)) {
        await editions.tidy();
        await editions.save();
      }
      throw new Held(state, `version ${version} is not taken: ${message}`);
    }
  }

  async file(name, { sha256: digest, bytes: size }, have) {
    const same = have.get(digest);
    const bytes = same ? await this.editions.read(same.sequence, same.name) : await fetched(new URL(`files/${digest}`, this.settings.updates), FETCH_MS);
    if (bytes.length !== size || (await sha256(bytes)) !== digest) {
      throw new Held("damaged", `its ${name} was cut off or changed on its way`);
    }
    return bytes;
  }

  /** Look after some time, and then again and again: soon where it failed, less and less so. */
  look(in_s) {
    const { every_s } = this.settings;
    const wait_s = () => (this.failures ? Math.min(every_s, FIRST_RETRY_S * 2 ** (this.failures - 1)) : every_s);
    this.timer = setTimeout(() => this.update().finally(() => this.look(wait_s())), in_s * 1000);
    this.timer.unref?.(); // a program may end meanwhile
  }

  close() {
    clearTimeout(this.timer);
  }
}
