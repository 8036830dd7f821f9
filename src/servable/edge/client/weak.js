// Weak: whether a device is too weak for a model, by its memory and by the time its answers take. Pure functions.

/** A page, or a program, gets a part of a device's memory; a model lies in it twice while it loads, beside the runtime. */
const PART = 0.5;
const COPIES = 2;
const RUNTIME_BYTES = 64 * 2 ** 20;
const ENOUGH = 5;
/** Of how many answers the median is taken. */
export const TIMED = 9;

/** Why a model is too large for a device of so much memory; null: it is not, or nobody knows. */
export function tooLarge({ name, file }, memory_bytes) {
  const needs = COPIES * file.bytes + RUNTIME_BYTES;
  if (!memory_bytes || needs <= PART * memory_bytes) return null;
  return `'${name}' needs about ${mib(needs)} of memory, and this device has ${mib(memory_bytes)}, of which it would take at most half`;
}

/** Why a device is too slow, by its last answers; null: it is not, or they are too few to tell. */
export function tooSlow(times_ms, slowest_ms) {
  const median = [...times_ms].sort((a, b) => a - b)[Math.floor(times_ms.length / 2)];
  if (times_ms.length < ENOUGH || median <= slowest_ms) return null;
  return `an answer takes ${Math.round(median)} ms on this device, at most ${slowest_ms} are allowed`;
}

/** Whether an error says that there was no memory: engines and onnxruntime word it in their own ways. */
export function outOfMemory({ message }) {
  return /bad_alloc|allocat|out of memory|memory size|grow memory/i.test(message);
}

function mib(bytes) {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
