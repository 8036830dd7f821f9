// Node: loads an exported model from the folder that this file lies in. As a program it answers rows from a file or
// stdin, or looks for an update (--update).

import { readFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { ServableError } from "./contract.js";
import { made } from "./model.js";
import { LIFE } from "./settings.js";

export { ServableError };

/** Load the model. `keep` is a folder for newer editions, where the export looks for them; `key` is for
 * the server that answers where this device cannot. */
export async function load({ base = new URL(".", import.meta.url), keep = fileURLToPath(new URL("kept", base)), key = "" } = {}) {
  const ort = await import(new URL("ort/ort.wasm.min.mjs", base).href);
  ort.env.wasm.wasmPaths = new URL("ort/", base).href;
  ort.env.wasm.wasmBinary = await readFile(new URL("ort/ort-wasm-simd-threaded.wasm", base));
  ort.env.wasm.numThreads = 1;
  const open = (read) => opened(read, ort, base);
  const shipped = async (name) => new Uint8Array(await readFile(new URL(name, base)));
  if (!LIFE) return open(shipped);
  const [{ Life }, { Kept }] = await Promise.all([import("./life.js"), import("./kept_node.js")]);
  const queue = LIFE.records && (await queued(keep, key));
  const memory = Math.min(totalmem(), process.constrainedMemory?.() || Infinity); // of the machine, or a container
  return new Life(LIFE, { shipped, kept: new Kept(keep), open, key, queue, memory }).begin();
}

async function queued(keep, key) {
  const [{ Queue }, { Waiting }] = await Promise.all([import("./queue.js"), import("./waiting_node.js")]);
  return new Queue(LIFE, new Waiting(keep), key);
}

async function opened(read, ort, base) {
  const [told, bytes] = await Promise.all([read("contract.json"), read("model.onnx")]);
  const contract = JSON.parse(new TextDecoder().decode(told));
  const texts = contract.tokenizer && {
    ...(await import(new URL(`${contract.tokenizer.kind}.js`, base).href)),
    vocabulary: await read(contract.tokenizer.file.path),
  };
  return made(contract, bytes, ort, {}, texts);
}

async function answer(path) {
  const asked = JSON.parse(await readFile(path, "utf8"));
  const model = await load();
  for (const body of asked.bodies ?? [Array.isArray(asked) ? { rows: asked } : asked]) {
    const answer = await ("inputs" in body ? model.infer(body.inputs) : model.predict(body.rows)).catch((error) => {
      if (!(error instanceof ServableError)) throw error;
      return { error: error.message, ...error };
    });
    console.log(JSON.stringify(answer));
  }
}

async function update() {
  if (!LIFE?.updates) throw new ServableError("unsupported", "this export takes no updates: it was made without --updates");
  const model = await load();
  console.log(JSON.stringify({ ...(await model.update()), version: model.contract.version }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await (process.argv[2] === "--update" ? update() : answer(process.argv[2] ?? "/dev/stdin"));
}
