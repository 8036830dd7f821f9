// Golden: bodies and the answers they must get, asked of an edition on the device that is to run it.

import { ServableError } from "./contract.js";
import { Held } from "./held.js";

const WORDS = ["error", "code", "parameters"];

/** Throw Held unless the model answers as written. `golden` holds `bodies`, what was `told` of each, and the tolerance. */
export async function prove(model, golden) {
  const [first] = await differences(model, golden);
  if (first) throw new Held("rejected", `it answers otherwise on this device than where it was made (${first})`);
}

/** Where the model answers otherwise than written: a sentence for each such body. */
export async function differences(model, { bodies, told, absolute, relative }) {
  const whole = new Set(model.contract.outputs.filter(({ datatype }) => !datatype.startsWith("FP")).map(({ name }) => name));
  const close = (want, got, name) => {
    if (typeof want !== "number" || typeof got !== "number" || whole.has(name)) return want === got;
    return Math.abs(want - got) <= absolute + relative * Math.abs(want);
  };
  const found = [];
  for (const [at, body] of bodies.entries()) {
    const [want, got] = [told[at], await answered(model, body)];
    const [left, right] = [values(want), values(got)];
    const place = left.findIndex(([name, value], index) => name !== right[index]?.[0] || !close(value, right[index][1], name));
    const word = WORDS.find((key) => JSON.stringify(want[key]) !== JSON.stringify(got[key]));
    if (word) found.push(`golden body ${at}: ${word} ${JSON.stringify(got[word])}, expected ${JSON.stringify(want[word])}`);
    else if (place >= 0) found.push(`golden body ${at}: ${left[place][0]} ${JSON.stringify(right[place]?.[1])}, expected ${JSON.stringify(left[place][1])}`);
    else if (left.length !== right.length) found.push(`golden body ${at}: ${right.length} values, expected ${left.length}`);
  }
  return found;
}

/** Each value of an answer with the name of its output, in order. */
function values({ rows, outputs }) {
  const parts = rows ? rows.flatMap(Object.entries) : (outputs ?? []).map(({ name, data }) => [name, data]);
  return parts.flatMap(([name, value]) => flat(value).map((one) => [name, one]));
}

function flat(value) {
  return value && typeof value === "object" ? Object.values(value).flatMap(flat) : [value];
}

async function answered(model, body) {
  try {
    return await ("inputs" in body ? model.infer(body.inputs) : model.predict(body.rows));
  } catch (error) {
    if (!(error instanceof ServableError)) throw error;
    return { error: error.message, ...error };
  }
}
