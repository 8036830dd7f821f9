// Model: a contract and a session of onnxruntime-web, asked in rows as the server is.

import { encode, ServableError, valueFaults } from "./contract.js";
import { Guard } from "./rules.js";
import { asTensors, readTensors } from "./tensors.js";
import { narrow } from "./text.js";
import { outOfMemory } from "./weak.js";

const TYPES = {
  BOOL: ["bool", (values) => Uint8Array.from(values)],
  BYTES: ["string", (values) => values],
  FP16: ["float16", (values) => globalThis.Float16Array.from(values)],
  FP32: ["float32", (values) => Float32Array.from(values)],
  FP64: ["float64", (values) => Float64Array.from(values)],
  INT8: ["int8", (values) => Int8Array.from(values)],
  INT16: ["int16", (values) => Int16Array.from(values)],
  INT32: ["int32", (values) => Int32Array.from(values)],
  INT64: ["int64", (values) => BigInt64Array.from(values, BigInt)],
  UINT8: ["uint8", (values) => Uint8Array.from(values)],
  UINT16: ["uint16", (values) => Uint16Array.from(values)],
  UINT32: ["uint32", (values) => Uint32Array.from(values)],
  UINT64: ["uint64", (values) => BigUint64Array.from(values, BigInt)],
};

/** A model that is loaded. `contract` is what the export wrote; `ort` the module of onnxruntime-web. */
export class Model {
  constructor(contract, session, ort, tokenizer = null) {
    this.contract = contract;
    this.session = session;
    this.ort = ort;
    this.tokenizer = tokenizer;
    this.guard = new Guard(contract);
    this.last = Promise.resolve();
  }

  /** The answer to rows of named values: `{model_name, model_version, parameters?, rows}`. Throws ServableError. */
  async predict(rows) {
    const { contract } = this;
    const columns = encode(rows, contract.inputs, contract.batched);
    return this.guarded(columns, rows.length, (answer) => ({ rows: asRows(answer, contract.outputs, rows.length) }));
  }

  /** The answer to tensors, `{name, datatype, shape, data}` each: `{..., outputs}`. Throws ServableError. */
  async infer(inputs) {
    const { contract } = this;
    const { columns, count } = readTensors(inputs, contract.inputs, contract.batched);
    return this.guarded(columns, count, (answer) => ({ outputs: asTensors(answer, contract.outputs) }));
  }

  async guarded(columns, rows, told) {
    const { name, version, batched } = this.contract;
    const run = (asked, count) => this.run(asked, count);
    const { columns: answer, parameters } = batched
      ? await this.guard.answer(columns, rows, run)
      : { columns: await run(columns, 1), parameters: {} }; // rules are about rows
    const fired = Object.keys(parameters).length ? { parameters } : {};
    return { model_name: name, model_version: version, ...fired, ...told(answer) };
  }

  /** One call of the session; a second waits for the first. */
  run(columns, count) {
    const call = this.last.then(() => (this.contract.model.alone ? this.oneByOne(columns, count) : this.call(columns, count)));
    this.last = call.catch(() => {});
    return call;
  }

  /** Rows whose arithmetic would share a scale are computed each by itself. */
  async oneByOne(columns, count) {
    const row = ({ values, shape }, at) => {
      const width = values.length / count;
      return { values: values.slice(at * width, (at + 1) * width), shape: [1, ...shape.slice(1)] };
    };
    const whole = {};
    for (let at = 0; at < count; at++) {
      const one = Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, row(column, at)]));
      const given = await (this.tokenizer ? this.read(one) : this.call(one, 1));
      for (const [name, { values, shape }] of Object.entries(given)) {
        whole[name] ??= { values: [], shape: [count, ...shape.slice(1)] };
        values.forEach((value) => whole[name].values.push(value));
      }
    }
    return whole;
  }

  /** The answer to one text, by its tokens, and how many they are. */
  async read({ text }) {
    const ids = this.tokenizer.encode(text.values[0]);
    const answer = await this.call({ input_ids: { values: ids, shape: [1, ids.length] } }, 1);
    return { ...answer, tokens: { values: [ids.length], shape: [1] } };
  }

  async call(columns, count) {
    const feeds = {};
    for (const { name, datatype } of this.contract.model.inputs) {
      const [type, made] = TYPES[datatype];
      const { values, shape } = columns[name];
      const told = datatype === "BYTES" ? values.map((value) => value ?? this.contract.model.missing_text) : values;
      if (told.includes(null)) throw new ServableError("model_failed", "the model takes text, got a missing value");
      feeds[name] = new this.ort.Tensor(type, made(told), shape);
    }
    const given = await this.session.run(feeds).catch((error) => {
      throw new ServableError("model_failed", `onnxruntime: ${error.message}`);
    });
    const answer = {};
    const faults = [];
    for (const field of this.contract.model.outputs) {
      const { data, dims } = given[field.name];
      const values = Array.from(data, field.datatype === "BOOL" ? Boolean : field.datatype === "BYTES" ? String : Number);
      answer[field.name] = { values, shape: [...dims] };
      faults.push(...valueFaults(field, answer[field.name]));
    }
    Object.values(given).forEach((tensor) => tensor.dispose());
    if (faults.length) {
      throw new ServableError("model_failed", `the answer of '${this.contract.name}' breaks its own contract: ${faults.join("; ")}`);
    }
    return count ? answer : {};
  }

  /** Give back the memory. */
  close() {
    return this.session.release();
  }
}

/** A session and its contract from bytes that were read anywhere, once they are those of the export. `texts` brings the
 * module of the tokenizer and the bytes of its vocabulary, where the contract has one. */
export async function made(contract, bytes, ort, options = {}, texts = null) {
  await verified(contract, contract.file, bytes);
  if (texts) await verified(contract, contract.tokenizer.file, texts.vocabulary);
  const tokenizer = texts && new texts.Tokenizer(contract.tokenizer, new TextDecoder().decode(texts.vocabulary));
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3, ...options }).catch((error) => {
    if (!outOfMemory(error)) throw error;
    throw new ServableError("unsupported", `this device has too little memory for '${contract.name}' (a model of ${bytes.length} bytes): ${error.message}; ask a server`);
  });
  return new Model(contract, session, ort, tokenizer);
}

async function verified({ name }, file, bytes) {
  if (!globalThis.crypto?.subtle) return; // a page without TLS has none; the size is still right
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== file.sha256) {
    throw new ServableError(
      "digest_mismatch",
      `'${file.path}' of '${name}' has SHA-256 ${found}, the export says ${file.sha256}: the file was cut off or changed on its way; load the page again`,
    );
  }
}

/** Columns as rows of named values. */
export function asRows(columns, fields, count) {
  const rows = Array.from({ length: count }, () => ({}));
  if (!count) return rows;
  for (const { name, datatype, features, shape: declared } of fields) {
    const { values, shape } = columns[name] ?? nothing(count, declared, datatype);
    const plain = values.map((value) => {
      if (typeof value !== "number" || !datatype.startsWith("FP")) return value;
      return Number.isFinite(value) ? narrow(value, datatype) : null;
    });
    const width = plain.length / count;
    rows.forEach((row, at) => {
      const own = plain.slice(at * width, (at + 1) * width);
      if (shape.length > 1 && features.length) row[name] = Object.fromEntries(features.map((feature, index) => [feature, own[index]]));
      else row[name] = shape.length === 1 || (shape.length === 2 && width === 1) ? own[0] : nested(own, shape.slice(1));
    });
  }
  return rows;
}

/** What stands around an answer that a rule gave: no interval, no class. */
function nothing(count, declared, datatype) {
  const shape = [count, ...declared.slice(1)];
  return { values: Array(shape.reduce((size, length) => size * length, 1)).fill(datatype === "BOOL" ? false : null), shape };
}

function nested(values, shape) {
  if (shape.length < 2) return values;
  const width = values.length / shape[0];
  return Array.from({ length: shape[0] }, (_, at) => nested(values.slice(at * width, (at + 1) * width), shape.slice(1)));
}
