// Tensors: the inputs and outputs of a model that takes no rows, or that is handed arrays; as the server takes them.

import { fromJson, refusal, ServableError, told, BadValues, valueFaults } from "./contract.js";
import { cut, narrow, quoted } from "./text.js";

const DATATYPES = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"];
const MOST_AXES = 32;
const MOST_VALUES = 2 ** 25;
const list = (sizes) => `[${sizes.join(", ")}]`;
const product = (sizes) => sizes.reduce((size, length) => size * length, 1);

/** Tensors to `{columns: {input: {values, shape}}, count}`, flat and row by row. Throws ServableError with every fault. */
export function readTensors(tensors, fields, batched) {
  if (!Array.isArray(tensors)) {
    throw refusal([told("inputs", "a list of tensors, or 'rows'", tensors === undefined || tensors === null ? "nothing" : "no list")]);
  }
  const faults = [];
  const columns = {};
  const datatypes = {};
  tensors.forEach((tensor, index) => {
    const named = typeof tensor?.name === "string";
    try {
      checkHead(tensor, named);
      if (tensor.name in columns) throw new BadValues("each input once", "it twice");
      const plain = ArrayBuffer.isView(tensor.data) ? Array.from(tensor.data, Number) : tensor.data;
      columns[tensor.name] = fromJson(plain, tensor, tensor.shape);
      datatypes[tensor.name] = tensor.datatype;
    } catch (error) {
      if (!(error instanceof BadValues)) throw error;
      faults.push(told(named ? tensor.name : `inputs[${index}]`, error.expected, error.got));
    }
  });
  if (faults.length) throw refusal(faults);
  const [first] = Object.values(columns);
  const count = batched ? (first?.shape[0] ?? 0) : 1;
  if (batched) complete(columns, datatypes, fields, count);
  faults.push(...checked(columns, datatypes, fields, batched));
  if (faults.length) throw refusal(faults);
  return { columns, count };
}

function checkHead(tensor, named) {
  if (!named) throw new BadValues("an object with 'name', 'datatype', 'shape' and 'data'", cut(quoted(tensor)));
  const { datatype, shape } = tensor;
  if (!DATATYPES.includes(datatype)) throw new BadValues(`'datatype' to be one of ${DATATYPES.join(", ")}`, cut(quoted(datatype)));
  if (!Array.isArray(shape) || !shape.every((length) => Number.isInteger(length) && length >= 0)) {
    throw new BadValues("'shape' to be a list of whole numbers, 0 or more", cut(quoted(shape)));
  }
  if (shape.length > MOST_AXES) throw new BadValues(`at most ${MOST_AXES} axes`, String(shape.length));
  if (product(shape.map((length) => Math.max(length, 1))) > MOST_VALUES) {
    throw new BadValues(`at most ${MOST_VALUES} values`, cut(`shape ${quoted(shape)}`, 86));
  }
  if (!("data" in tensor)) throw new BadValues("'data', or 'binary_data_size' in 'parameters'", "neither");
}

/** Absent inputs that may be missing, as missing. */
function complete(columns, datatypes, fields, count) {
  for (const { name, datatype, shape, values } of fields) {
    if (name in columns || values !== "missing" || !/^(FP|BYTES)/.test(datatype)) continue;
    const sizes = [count, ...shape.slice(1).map((size) => Math.max(size, 1))];
    columns[name] = { values: Array(product(sizes)).fill(datatype === "BYTES" ? null : NaN), shape: sizes };
    datatypes[name] = datatype;
  }
}

function checked(columns, datatypes, fields, batched) {
  const faults = [];
  const names = fields.map(({ name }) => quoted(name)).join(", ");
  for (const [name, { shape }] of Object.entries(columns)) {
    if (!fields.some((field) => field.name === name)) {
      faults.push(told(name, `no such input (inputs are ${names})`, `${datatypes[name]} ${list(shape)}`));
    }
  }
  const lengths = {};
  for (const field of fields) {
    const column = columns[field.name];
    const expected = `${field.datatype} ${list(field.shape)}`;
    if (!column) {
      faults.push(told(field.name, expected, "nothing"));
      continue;
    }
    if (datatypes[field.name] !== field.datatype) faults.push(told(field.name, expected, `${datatypes[field.name]} ${list(column.shape)}`));
    else if (!fits(field.shape, column.shape)) faults.push(told(field.name, `shape ${list(field.shape)}`, `shape ${list(column.shape)}`));
    else if (column.values.length) faults.push(...valueFaults(field, column));
    if (column.shape.length) lengths[field.name] = column.shape[0];
  }
  if (batched && new Set(Object.values(lengths)).size > 1) {
    faults.push(told("rows", "the same number of rows in every input", quoted(lengths)));
  }
  return faults;
}

/** Whether a shape is one of those that are declared. */
export function fits(declared, shape) {
  return declared.length === shape.length && declared.every((size, axis) => size === -1 || size === shape[axis]);
}

/** Columns of an answer as tensors. Throws ServableError for a number that JSON cannot hold. */
export function asTensors(columns, fields) {
  return fields.map(({ name, datatype, values: kind, shape: declared }) => {
    const { values, shape } = columns[name] ?? { values: [], shape: [0, ...declared.slice(1).map(Math.abs)] };
    const float = datatype.startsWith("FP");
    const worst = float ? values.find((value) => (kind === "finite" ? !Number.isFinite(value) : Math.abs(value) === Infinity)) : undefined;
    if (worst !== undefined) {
      const first = values.find((value) => !Number.isFinite(value));
      const told = Number.isNaN(first) ? "nan" : first > 0 ? "inf" : "-inf";
      throw new ServableError(
        "model_failed",
        `output ${quoted(name)} holds ${told}, which JSON cannot carry: ask for it as binary data, or declare the output with values = "missing" to get null`,
        { output: name },
      );
    }
    return { name, datatype, shape, data: float ? values.map((value) => (Number.isNaN(value) ? null : narrow(value, datatype))) : values };
  });
}
