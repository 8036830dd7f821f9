// Browser: loads an exported model from the folder that this file lies in.

import { ServableError } from "./contract.js";
import { made } from "./model.js";

export { ServableError };

/** Below this size a model gains nothing from threads, and waits for them to start. */
const WORTH_THREADS_BYTES = 4_000_000;

/** Load the model. `device` "webgpu" runs it on the graphics card where export and browser have WebGPU. */
export async function load({ base = new URL(".", import.meta.url), device = "wasm" } = {}) {
  const [contract, bytes, ort] = await Promise.all([
    fetched(base, "contract.json").then((response) => response.json()),
    fetched(base, "model.onnx").then((response) => response.arrayBuffer()).then((buffer) => new Uint8Array(buffer)),
    import(new URL(device === "webgpu" && navigator.gpu ? "ort/ort.webgpu.min.mjs" : "ort/ort.wasm.min.mjs", base).href),
  ]);
  ort.env.wasm.wasmPaths = new URL("ort/", base).href;
  const many = globalThis.crossOriginIsolated && bytes.length >= WORTH_THREADS_BYTES;
  ort.env.wasm.numThreads = many ? Math.min(4, navigator.hardwareConcurrency) : 1;
  const providers = device === "webgpu" && navigator.gpu ? ["webgpu", "wasm"] : ["wasm"];
  return made(contract, bytes, ort, { executionProviders: providers }, contract.tokenizer && (await textsOf(contract, base)));
}

/** What makes tokens of texts: a module and its vocabulary, which other models do without. */
async function textsOf({ tokenizer }, base) {
  const [{ WordPiece }, vocabulary] = await Promise.all([
    import(new URL("wordpiece.js", base).href),
    fetched(base, tokenizer.file.path).then((response) => response.arrayBuffer()),
  ]);
  return { WordPiece, vocabulary };
}

async function fetched(base, name) {
  const response = await fetch(new URL(name, base)).catch((error) => {
    throw new ServableError("unavailable", `cannot read ${name}: ${error.message}; connect once, and the page works offline from then on`);
  });
  if (!response.ok) throw new ServableError("unavailable", `cannot read ${name}: the server answered ${response.status}`);
  return response;
}
