// Recorded: tensors as rows of named values, as records hold them.

import { asRows } from "./model.js";

/** The rows of a request in tensors; of a model without rows a single one. */
export function askedRows(tensors, { inputs, batched }) {
  const given = inputs.filter(({ name }) => tensors.some((tensor) => tensor.name === name));
  const named = ({ name, features }, row) => (features.length ? Object.entries(row[name]) : [[name, row[name]]]);
  return rowsOf(tensors, given, batched).map((row) => Object.fromEntries(given.flatMap((field) => named(field, row))));
}

/** The rows of an answer in tensors. */
export function toldRows(tensors, { outputs, batched }) {
  return rowsOf(tensors, outputs, batched);
}

function rowsOf(tensors, fields, batched) {
  const columns = tensors.map(({ name, shape, data }) => {
    const values = ArrayBuffer.isView(data) ? Array.from(data, Number) : [data].flat(Infinity);
    return [name, { values, shape: batched ? shape : [1, ...shape] }];
  });
  return asRows(Object.fromEntries(columns), fields, batched ? (tensors[0]?.shape[0] ?? 0) : 1);
}
