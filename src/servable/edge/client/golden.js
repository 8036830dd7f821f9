// Golden: bodies and the answers they must get, asked of an edition on the device that is to run it.

import { ServableError } from "./contract.js";
import { Held } from "./held.js";

const WORDS = ["error", "code", "parameters"];

/** Throw Held unless the model answers as written. `golden` holds `bodies`, what was `told` of each, and the tolerance. */
export async function prove(model, { bodies, told, absolute, relative }) {
  const whole = new Set(model.contract.outputs.filter(({ datatype }) => !datatype.startsWith("FP")).map(({ name }) => name));
  const close = (want, got, name) => {
    if (typeof want !== "number" || typeof got !== "number" || whole.has(name)) return want === got;
    return Math.abs(want - got) <= absolute + relative * Math.abs(want);
  };
  for (const [at, body] of bodies.entries()) {
    const [want, got] = [told[at], await answered(model, body)];
    const [left, right] = [values(want), values(got)];
    const same = left.length === right.length && left.every(([name, value], place) => name === right[place][0] && close(value, right[place][1], name));
    if (!same || WORDS.some((key) => JSON.stringify(want[key]) !== JSON.stringify(got[key]))) {
      throw new Held("rejected", `it answers otherwise on this device than where it was made (golden body ${at})`);
    }
  }
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
