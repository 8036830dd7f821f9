// React Native: the model with onnxruntime-react-native. The app reads model.ort from its assets and gives the bytes.

import * as ort from "onnxruntime-react-native";
import { ServableError } from "./contract.js";
import { CONTRACT, GOLDEN } from "./facts.js";
import { made } from "./model.js";

export { ServableError };

/** The model of these bytes. */
export function load(bytes) {
  return made(CONTRACT, bytes, ort);
}

/** Where the model answers golden rows otherwise than where it was made: nowhere, or something is wrong on this device. */
export async function differences(model) {
  const found = [];
  for (const { body, told } of GOLDEN.asked) {
    const answer = await model.predict(body.rows);
    told.rows.forEach((row, at) => compare(row, answer.rows[at], `rows[${at}]`, found));
  }
  return found;
}

function compare(want, got, where, found) {
  if (want !== null && typeof want === "object") {
    for (const [name, value] of Object.entries(want)) compare(value, got?.[name], `${where}.${name}`, found);
  } else if (typeof want === "number" && typeof got === "number") {
    if (!(Math.abs(want - got) <= GOLDEN.absolute + GOLDEN.relative * Math.abs(want))) found.push(`${where}: ${got}, expected ${want}`);
  } else if (want !== got) {
    found.push(`${where}: ${JSON.stringify(got)}, expected ${JSON.stringify(want)}`);
  }
}
