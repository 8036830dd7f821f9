// Signed: an update as its publisher signed it. Nothing in it is looked at before a trusted key's signature holds.

import { Held } from "./held.js";

const SAID = "servable update ";
const MOST_BYTES = 1_000_000;

/** The update in a signed text, if one of the trusted keys (base64) signed it. Throws Held. */
export async function verified(text, trusted) {
  if (!globalThis.crypto?.subtle) throw new Held("unverifiable", "updates cannot be verified here: a page needs HTTPS for that");
  const { update, signatures } = read(text);
  for (const key of trusted.filter((each) => signatures[each])) {
    const imported = await crypto.subtle.importKey("raw", bytesOf(key), "Ed25519", false, ["verify"]).catch((error) => {
      throw new Held("unverifiable", `updates cannot be verified here: Ed25519 is not known (${error.message}); a newer browser, or Node, has it`);
    });
    if (await crypto.subtle.verify("Ed25519", imported, bytesOf(signatures[key]), new TextEncoder().encode(SAID + update))) return read(update);
  }
  throw new Held("forged", "the update is signed by no key that this export trusts: it is not taken");
}

/** SHA-256 in hexadecimal. */
export async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function read(text) {
  try {
    if (text.length > MOST_BYTES) throw new Error("it is too long");
    const told = JSON.parse(text);
    if (!told || typeof told !== "object" || (told.update !== undefined && typeof told.signatures !== "object")) throw new Error("it is no update");
    return told;
  } catch (error) {
    throw new Held("damaged", `the update cannot be read: ${error.message}`);
  }
}

function bytesOf(text) {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    throw new Held("damaged", "the update's signature cannot be read");
  }
}
