// Node: loads an exported model from the folder that this file lies in. As a program it answers rows from a file or stdin.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { ServableError } from "./contract.js";
import { made } from "./model.js";

export { ServableError };

/** Load the model. */
export async function load({ base = new URL(".", import.meta.url) } = {}) {
  const ort = await import(new URL("ort/ort.wasm.min.mjs", base).href);
  ort.env.wasm.wasmPaths = new URL("ort/", base).href;
  ort.env.wasm.wasmBinary = await readFile(new URL("ort/ort-wasm-simd-threaded.wasm", base));
  ort.env.wasm.numThreads = 1;
  const contract = JSON.parse(await readFile(new URL("contract.json", base), "utf8"));
  const texts = contract.tokenizer && {
    ...(await import(new URL("wordpiece.js", base).href)),
    vocabulary: await readFile(new URL(contract.tokenizer.file.path, base)),
  };
  return made(contract, new Uint8Array(await readFile(new URL("model.onnx", base))), ort, {}, texts);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const asked = JSON.parse(await readFile(process.argv[2] ?? "/dev/stdin", "utf8"));
  const model = await load();
  for (const body of asked.bodies ?? [Array.isArray(asked) ? { rows: asked } : asked]) {
    const answer = await ("inputs" in body ? model.infer(body.inputs) : model.predict(body.rows)).catch((error) => {
      if (!(error instanceof ServableError)) throw error;
      return { error: error.message, ...error };
    });
    console.log(JSON.stringify(answer));
  }
}
