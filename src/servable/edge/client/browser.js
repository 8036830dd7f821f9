// Browser: loads an exported model from the folder that this file lies in.

import { ServableError } from "./contract.js";
import { made } from "./model.js";
import { LIFE } from "./settings.js";

export { ServableError };

/** Below this size a model gains nothing from threads, and waits for them to start. */
const WORTH_THREADS_BYTES = 4_000_000;

/** A function that a browser compiles only if it has the instructions that the runtime is made of. */
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

/** Load the model. `device` "webgpu" runs it on the graphics card where export, browser and machine have one; the model's
 * own `device` says what became of it. `key` is for the server that answers where this device cannot. */
export async function load({ base = new URL(".", import.meta.url), device = "wasm", key = "" } = {}) {
  const runtime = runtimeFor(device, base);
  runtime.catch(() => {}); // whoever opens a model hears of it
  const open = (read) => opened(read, runtime, base);
  const shipped = (name) => fetched(base, name);
  if (!LIFE) return open(shipped);
  const [{ Life }, { Kept }] = await Promise.all([import("./life.js"), import("./kept_browser.js")]);
  const queue = LIFE.records && (await queued(base, key));
  const memory = (navigator.deviceMemory ?? 0) * 2 ** 30; // not every browser tells
  return new Life(LIFE, { shipped, kept: new Kept(base), open, key, queue, memory }).begin();
}

async function queued(base, key) {
  const [{ Queue }, { Waiting }] = await Promise.all([import("./queue.js"), import("./waiting_browser.js")]);
  return new Queue(LIFE, new Waiting(base), key);
}

async function opened(read, runtime, base) {
  const [told, bytes, [ort, taken]] = await Promise.all([read("contract.json"), read("model.onnx"), runtime]);
  const contract = JSON.parse(new TextDecoder().decode(told));
  ort.env.wasm.wasmPaths = new URL("ort/", base).href;
  const many = globalThis.crossOriginIsolated && bytes.length >= WORTH_THREADS_BYTES;
  ort.env.wasm.numThreads = many ? Math.min(4, navigator.hardwareConcurrency) : 1;
  const providers = taken === "webgpu" ? ["webgpu", "wasm"] : ["wasm"];
  const model = await made(contract, bytes, ort, { executionProviders: providers }, contract.tokenizer && (await textsOf(contract, read, base)));
  return Object.assign(model, { device: taken });
}

/** The runtime, and the device it is for: without a graphics card, or without its runtime in the export, WebAssembly. */
async function runtimeFor(device, base) {
  if (!globalThis.WebAssembly?.validate(Uint8Array.from(SIMD))) {
    throw new ServableError("unsupported", "this browser has no WebAssembly with SIMD, which the model needs: use a newer one (Chrome 91, Firefox 89, Safari 16.4), or ask a server");
  }
  const card = device === "webgpu" && (await navigator.gpu?.requestAdapter().catch(() => null));
  const found = card && (await import(new URL("ort/ort.webgpu.min.mjs", base).href).catch(() => null));
  return found ? [found, "webgpu"] : [await import(new URL("ort/ort.wasm.min.mjs", base).href), "wasm"];
}

/** What makes tokens of texts: a module and its vocabulary, which other models do without. */
async function textsOf({ tokenizer }, read, base) {
  const [{ Tokenizer }, vocabulary] = await Promise.all([import(new URL(`${tokenizer.kind}.js`, base).href), read(tokenizer.file.path)]);
  return { Tokenizer, vocabulary };
}

async function fetched(base, name) {
  const response = await fetch(new URL(name, base)).catch((error) => {
    throw new ServableError("unavailable", `cannot read ${name}: ${error.message}; connect once, and the page works offline from then on`);
  });
  if (!response.ok) throw new ServableError("unavailable", `cannot read ${name}: the server answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
