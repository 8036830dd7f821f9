// Contract: rows of named values to the model's inputs, held against the Signature; every fault is told at once.

import { cut, general, quoted, rounded, shortest } from "./text.js";

const MOST_NAMED = 20;
const ROWS_NAMED = 5;
const FLOAT = /^FP/;
const DATE = /^(?:|nat|now|today|[+-]?\d{4}|[+-]?\d+-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.\d*)?)?)?)?)?)$/i;
const LARGEST = { FP16: 65504, FP32: 3.4028234663852886e38, FP64: Number.MAX_VALUE };

/** What went wrong, in the server's own words: `code` is its name, `faults` and `rules` are what it lists. */
export class ServableError extends Error {
  constructor(code, message, detail = {}) {
    super(message);
    this.name = "ServableError";
    this.code = code;
    Object.assign(this, detail);
  }
}

/** Values that are not what their field says. */
export class BadValues extends Error {
  constructor(expected, got) {
    super(expected);
    this.expected = expected;
    this.got = got;
  }
}

/** Rows to `{input: {values, shape}}`, values flat and row by row. Throws ServableError with every fault. */
export function encode(rows, fields, batched = true) {
  if (!Array.isArray(rows) || !rows.every((row) => row && typeof row === "object" && !Array.isArray(row))) {
    throw refusal([told("rows", "a list of objects, one a row", cut(quoted(rows)))]);
  }
  if (!batched) throw refusal([told("rows", "tensors in 'inputs': this model has no rows", "rows")]);
  const faults = [];
  const columns = {};
  const known = new Set();
  for (const field of fields) {
    (field.features.length ? field.features : [field.name]).forEach((name) => known.add(name));
    try {
      columns[field.name] = field.features.length ? matrix(rows, field) : column(rows, field);
    } catch (error) {
      if (!(error instanceof BadValues)) throw error;
      faults.push(told(field.name, error.expected, error.got));
    }
  }
  const strange = [...new Set(rows.flatMap(Object.keys))].filter((name) => !known.has(name)).sort();
  const some = [...known].sort();
  const names = some.slice(0, MOST_NAMED).map(quoted).join(", ") + (some.length > MOST_NAMED ? ", …" : "");
  for (const name of strange.slice(0, MOST_NAMED)) faults.push(told(name, `a column of the model (${names})`, "an unknown column"));
  if (!faults.length) fields.forEach((field) => faults.push(...valueFaults(field, columns[field.name])));
  if (faults.length) throw refusal(faults);
  return columns;
}

/** Every fault of the values of an input, or an output, whose datatype and shape are right. */
export function valueFaults(field, { values, shape }) {
  const faults = [];
  const mark = (bad, expected) => {
    const at = values.flatMap((value, index) => (bad(value) ? [index] : []));
    if (at.length) faults.push(told(field.name, expected, found(field, values, shape, at)));
  };
  if (FLOAT.test(field.datatype) && field.values !== "any") {
    if (field.values === "finite") mark((value) => !Number.isFinite(value), "finite numbers");
    else mark((value) => Math.abs(value) === Infinity, "finite or missing numbers");
  }
  if (field.datatype === "BYTES") {
    if (field.values === "finite") mark((value) => value === null, "text, and no nulls");
    if (field.content === "date") mark((value) => value !== null && !isDate(value), "ISO 8601 dates");
  }
  if (field.low) mark((value) => value < field.low.value && Number.isFinite(value), field.low.expected);
  if (field.high) mark((value) => value > field.high.value && Number.isFinite(value), field.high.expected);
  if (field.categories) {
    const allowed = new Set(field.categories.allowed);
    mark((value) => value !== null && !allowed.has(shown(value, field)), field.categories.expected);
  }
  return faults;
}

/** A value as it is printed. */
export function shown(value, { datatype, plain_below }) {
  if (typeof value === "boolean") return value ? "True" : "False";
  if (value === null) return "None";
  return FLOAT.test(datatype) ? shortest(value, datatype, plain_below) : String(value);
}

/** One fault, as the server tells it. */
export function told(where, expected, got) {
  return `${quoted(where)}: expected ${expected}, got ${got}`;
}

/** The error of all faults. */
export function refusal(faults) {
  return new ServableError("invalid_input", `the request breaks the contract of the model: ${faults.join("; ")}`, { faults });
}

/** The first bad value and the rows that hold one. */
function found(field, values, shape, at) {
  const width = shape.slice(1).reduce((size, length) => size * length, 1);
  const rows = [...new Set(at.map((index) => Math.floor(index / width)))];
  const named = rows.slice(0, ROWS_NAMED).join(", ") + (rows.length > ROWS_NAMED ? ", …" : "");
  const feature = field.features.length && shape.length > 1 ? ` in feature ${quoted(field.features[at[0] % field.features.length])}` : "";
  return `${shown(values[at[0]], field)}${feature} (row${rows.length > 1 ? "s" : ""} ${named})`;
}

function column(rows, field) {
  const values = valuesOf(rows, field.name, field);
  const shape = [rows.length, ...field.shape.slice(1).map((size) => (size === -1 ? 1 : size))];
  return fromJson(values, field, asCame(values, field.shape) ?? shape);
}

/** The shape of rows that are lists, where some axis may have any length; null where they are no lists, or do not fit. */
function asCame(rows, declared) {
  if (!declared.slice(1).includes(-1) || !rows.some(Array.isArray)) return null;
  const shape = [];
  for (let inner = rows; Array.isArray(inner); [inner] = inner) shape.push(inner.length);
  const fits = shape.length === declared.length && declared.every((size, axis) => size === -1 || size === shape[axis]);
  return fits ? shape : null;
}

function matrix(rows, field) {
  const columns = field.features.map((name) => valuesOf(rows, name, field));
  return fromJson(rows.map((_, row) => columns.map((values) => values[row])), field, [rows.length, columns.length]);
}

function valuesOf(rows, name, field) {
  const absent = rows.findIndex((row) => row[name] === undefined);
  if (absent >= 0 && (field.values !== "missing" || !/^(FP|BYTES)/.test(field.datatype))) {
    throw new BadValues(`column ${quoted(name)} in every row`, `none in row ${absent}`);
  }
  return rows.map((row) => {
    const value = row[name] ?? null;
    if (typeof value !== "number") return value;
    if (!Number.isFinite(value)) return null; // as JSON writes it
    if (field.datatype !== "BYTES") return value;
    return Number.isInteger(value) ? BigInt(value).toString() : shortest(value);
  });
}

/** Values, nested like `shape` or flat, to flat ones of the field's datatype. */
export function fromJson(data, { datatype }, shape) {
  const text = datatype === "BYTES";
  if (text && !Array.isArray(data)) throw new BadValues("a list of strings", kindOf(data));
  const own = Array.isArray(data) ? [data.length] : [];
  let values = Array.isArray(data) ? data : [data];
  while (values.some(Array.isArray)) {
    if (!values.every((value) => Array.isArray(value) && value.length === values[0].length)) {
      throw new BadValues(text ? "strings in lists of equal lengths" : `values nested as shape ${list(shape)}`, "lists of different lengths");
    }
    own.push(values[0].length);
    values = values.flat();
  }
  const wrong = text ? values.find((value) => value !== null && typeof value !== "string") : undefined;
  if (wrong !== undefined) throw new BadValues("strings", kindOf(wrong));
  const size = shape.reduce((product, length) => product * length, 1);
  if (String(own) !== String(shape) && !(values.length === size && (own.length === 1 || size === 0))) {
    if (own.length < 2) throw new BadValues(`${size} values for shape ${list(shape)}`, `${values.length} values`);
    throw new BadValues(`values nested as shape ${list(shape)}, or flat`, `nested as ${list(own)}`);
  }
  return { values: text || !values.length ? values : typed(values, datatype), shape };
}

function typed(values, datatype) {
  const kind = kindOfAll(values);
  if (datatype === "BOOL") {
    if (kind === "b") return values;
    throw new BadValues("true and false", kindName(kind, values));
  }
  if (FLOAT.test(datatype)) {
    const strange = kind === "O" ? values.find((value) => value !== null && typeof value !== "number") : undefined;
    if (strange !== undefined) throw new BadValues("numbers or null", kindOf(strange));
    if (!"Oif".includes(kind)) throw new BadValues(`numbers for ${datatype}`, kindName(kind, values));
    const cast = values.map((value) => (value === null ? NaN : rounded(Number(value), datatype)));
    const over = cast.findIndex((value) => Math.abs(value) === Infinity);
    if (over >= 0) throw new BadValues(`numbers that fit ${datatype} (up to ${general(LARGEST[datatype])})`, general(values[over]));
    return cast;
  }
  if (!"if".includes(kind)) throw new BadValues(`numbers for ${datatype}`, kindName(kind, values));
  if (kind === "f") throw new BadValues(`values of ${datatype}`, "fractions");
  const numbers = values.map(Number);
  const [least, most] = limits(datatype);
  const [smallest, largest] = [Math.min, Math.max].map((of) => BigInt(numbers.reduce((one, other) => of(one, other))));
  if (largest > most || smallest < least) {
    throw new BadValues(`whole numbers that fit ${datatype} (${least} to ${most})`, String(Number(largest > most ? largest : smallest)));
  }
  return numbers;
}

/** The kind of an array of such JSON values: objects, text, truths, whole numbers, fractions. */
function kindOfAll(values) {
  if (values.some((value) => typeof value === "object")) return "O";
  if (values.some((value) => typeof value === "string")) return "U";
  if (values.every((value) => typeof value === "boolean")) return "b";
  const whole = (value) => Number.isInteger(value) && value < 2 ** 64 && value >= -(2 ** 63);
  if (!values.every((value) => typeof value === "boolean" || whole(value))) return "f";
  const huge = values.filter((value) => value >= 2 ** 63).length;
  return huge && huge < values.length ? "f" : "i";
}

function kindName(kind, values) {
  if (kind === "O") return kindOf(values.find((value) => typeof value !== "number" && typeof value !== "boolean"));
  return { U: "text", b: "true and false" }[kind] ?? "numbers";
}

function kindOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return { object: "an object", string: "text", boolean: "true or false" }[typeof value] ?? "a number";
}

function limits(datatype) {
  const bits = BigInt(datatype.replace(/\D/g, ""));
  return datatype.startsWith("U") ? [0n, 2n ** bits - 1n] : [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n];
}

function list(shape) {
  return `[${shape.join(", ")}]`;
}

/** Whether a text is a date or time of ISO 8601. */
export function isDate(text) {
  const parts = DATE.exec(text.replace(/Z$/, ""));
  if (!parts) return false;
  const [month, day, hour, minute, second] = parts.slice(1).map((part) => (part === undefined ? null : Number(part)));
  if (month !== null && (month < 1 || month > 12)) return false;
  const year = Number.parseInt(text, 10);
  const days = month === 2 ? (year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
  return (day === null || (day >= 1 && day <= days)) && !(hour > 23) && !(minute > 59) && !(second > 59);
}
