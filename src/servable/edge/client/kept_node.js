// Kept (Node): editions as folders, and a file that says which of them is used. Whole or not there: temporary name, fsync, rename.

import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";

const STATE = "state.json";
const INCOMING = ".incoming";

export class Kept {
  constructor(folder) {
    this.folder = folder;
    /** A newer Node has to prove an edition anew. */
    this.agent = `Node ${process.version}`;
  }

  async state() {
    const told = await read(join(this.folder, STATE));
    return told && JSON.parse(new TextDecoder().decode(told));
  }

  save(state) {
    return put(this.folder, STATE, JSON.stringify(state));
  }

  async read(sequence, name) {
    return (await read(join(this.folder, `${sequence}`, name))) ?? (await read(join(this.folder, `${sequence}${INCOMING}`, name)));
  }

  write(sequence, name, bytes) {
    return put(join(this.folder, `${sequence}${INCOMING}`), name, bytes);
  }

  /** The folder gets its name once all of it is there. */
  async seal(sequence) {
    const target = join(this.folder, `${sequence}`);
    await rename(`${target}${INCOMING}`, target).catch((error) => {
      if (!["ENOENT", "ENOTEMPTY", "EEXIST"].includes(error.code)) throw error; // another program was first: it is there
    });
    await sync(this.folder);
  }

  async keepOnly(sequences) {
    const kept = new Set([STATE, ...sequences.map(String)]);
    const own = (await readdir(this.folder)).filter((name) => /^\d+(\.incoming)?$/.test(name) && !kept.has(name));
    await Promise.all(own.map((name) => rm(join(this.folder, name), { recursive: true, force: true })));
  }

  /** Two programs that take the same update write the same bytes: nobody waits. */
  alone(does) {
    return does();
  }
}

async function read(path) {
  return readFile(path).then((data) => new Uint8Array(data), (error) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
}

/** A file, on the disk when this resolves, in place of one that is there. */
export async function put(folder, name, data) {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = join(folder, `.${name}-${process.pid}`);
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(folder, name));
  await sync(folder);
}

async function sync(folder) {
  const handle = await open(folder);
  await handle.sync().finally(() => handle.close());
}
