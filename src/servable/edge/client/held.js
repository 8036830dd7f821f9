// Held: why an update is not taken; and what other errors mean to one.

import { ServableError } from "./contract.js";

/** Why an update is not taken: `state` is one word, for programs; the message is for people. */
export class Held extends Error {
  constructor(state, message) {
    super(message);
    this.state = state;
  }
}

/** The bytes at a URL. Throws Held. */
export async function fetched(url, most_ms) {
  try {
    const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(most_ms) });
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
    throw new Error(`the server answered ${response.status}`);
  } catch (error) {
    throw new Held("unreachable", `${url} cannot be read: ${error.message}`);
  }
}

/** Whether an error says that nothing more can be kept: of a browser's quota, or of a disk. */
export function noRoom(error) {
  return error?.name === "QuotaExceededError" || error?.code === "ENOSPC";
}

/** An error as a word for programs and a sentence for people. */
export function reasonOf(error) {
  if (error instanceof Held) return [error.state, error.message];
  if (noRoom(error)) return ["no-room", "there is no room for it on this device"];
  if (error instanceof ServableError) return [{ digest_mismatch: "damaged", unsupported: "unsupported" }[error.code] ?? "rejected", error.message];
  return ["rejected", `${error.name}: ${error.message}`];
}
