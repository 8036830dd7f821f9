// Waiting (Node): entries of the queue as files of a folder, named in the order in which they came.

import { randomUUID } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { put } from "./kept_node.js";

export class Waiting {
  constructor(folder) {
    this.folder = join(folder, "waiting");
    this.added = 0;
  }

  add(entry) {
    const order = [Date.now(), this.added++].map((number) => String(number).padStart(15, "0")).join("-");
    return put(this.folder, `${order}-${randomUUID()}.json`, JSON.stringify(entry));
  }

  async count() {
    return (await this.names()).length;
  }

  async first(most) {
    const keys = (await this.names()).slice(0, most);
    return Promise.all(keys.map(async (key) => ({ key, entry: JSON.parse(await readFile(join(this.folder, key), "utf8")) })));
  }

  async remove(keys) {
    await Promise.all(keys.map((key) => rm(join(this.folder, key), { force: true })));
  }

  /** An entry in the place of others, which go first: on a disk that is full nothing else makes room. */
  async replace(keys, entry) {
    await this.remove(keys);
    await this.add(entry);
  }

  async names() {
    const found = await readdir(this.folder).catch(() => []);
    return found.filter((name) => /^\d+-.*\.json$/.test(name)).sort();
  }
}
