// Page: a form made from the Signature, to try the model by hand.

import { load, ServableError } from "./browser.js";

const at = (id) => document.getElementById(id);

function asked(field) {
  return (field.features.length ? field.features : [field.name]).map((name) => {
    const label = document.createElement("label");
    const input = field.datatype === "BOOL" || field.categories ? chosen(field) : typedIn(field);
    input.name = name;
    label.append(name, input);
    return label;
  });
}

function chosen(field) {
  const select = document.createElement("select");
  const values = field.categories?.allowed ?? ["true", "false"];
  if (field.values === "missing") select.append(new Option("", ""));
  select.append(...values.map((value) => new Option(value, value)));
  return select;
}

function typedIn(field) {
  const input = document.createElement("input");
  const text = field.datatype === "BYTES";
  if (!text && !many(field)) input.inputMode = "decimal";
  input.placeholder = many(field) ? `a list: ${field.datatype} [${field.shape.join(", ")}]` : field.values === "missing" ? "missing" : field.content || (text ? "text" : "number");
  return input;
}

/** Whether a field takes more than one value, which is typed in as a list of JSON. */
function many({ shape, features }) {
  return !features.length && shape.some((size, axis) => size !== 1 && (axis || !model.contract.batched));
}

function listed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text; // for the contract to tell of
  }
}

/** What stands in the form as tensors, for a model without rows. */
function tensorsOf(form, fields) {
  return fields.map((field) => {
    const data = listed(form.elements[field.name].value.trim() || "null");
    const shape = [];
    for (let inner = data; Array.isArray(inner); [inner] = inner) shape.push(inner.length);
    return { name: field.name, datatype: field.datatype, shape, data };
  });
}

/** What stands in the form as one row: what is no number is left as it is, for the contract to tell of. */
function rowOf(form, fields) {
  const row = {};
  for (const field of fields) {
    for (const name of field.features.length ? field.features : [field.name]) {
      const text = form.elements[name].value.trim();
      const number = text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
      if (many(field) && text !== "") row[name] = listed(text);
      else if (text === "") row[name] = field.datatype === "BYTES" && field.values === "finite" ? "" : null;
      else if (field.datatype === "BOOL") row[name] = text === "true";
      else row[name] = field.datatype === "BYTES" ? text : number;
    }
  }
  return row;
}

function table(row) {
  const found = document.createElement("table");
  for (const [name, value] of Object.entries(row)) {
    const parts = value && typeof value === "object" && !Array.isArray(value) ? Object.entries(value) : [["", value]];
    for (const [part, one] of parts) {
      const line = found.insertRow();
      line.insertCell().textContent = part ? `${name} ${part}` : name;
      line.insertCell().textContent = typeof one === "number" ? String(one) : JSON.stringify(one);
    }
  }
  return found;
}

function refused(error) {
  const found = document.createElement("div");
  found.className = "refused";
  const told = error.rules ? error.rules.map((each) => `${each.reason || each.rule}: expected ${each.expected}, got ${each.got}`) : error.faults ?? [error.message];
  found.append(...told.map((text) => Object.assign(document.createElement("p"), { textContent: text })));
  return found;
}

let asking = "";

/** The model's name and form, and how it goes on: an edition that asks for other values has another form. */
function show({ contract, state, stopped, away, queue }) {
  at("name").textContent = document.title = `${contract.name} ${contract.version}`;
  at("life").textContent = stopped ?? away ?? queue?.full ?? state?.message ?? "";
  if (state) document.body.dataset.update = state.update;
  if (asking === JSON.stringify(contract.inputs)) return;
  asking = JSON.stringify(contract.inputs);
  const send = Object.assign(document.createElement("button"), { textContent: "Predict" });
  at("form").replaceChildren(...contract.inputs.flatMap(asked), send);
}

/** What leaves the device of what is typed. */
function leaves({ queue }) {
  if (!queue) return "nothing you type leaves it";
  const columns = queue.records.columns.join(", ") || "none";
  return `of ${Math.round(queue.records.share * 100)} % of the answers a copy is sent to ${queue.base.host}; of what you type it holds: ${columns}`;
}

async function start() {
  const began = performance.now();
  const model = (globalThis.model = await load());
  show(model);
  model.onchange = () => show(model);
  at("state").textContent = model.device === "server" ? "what you type is sent to a server" : `on this device, loaded in ${Math.round(performance.now() - began)} ms; ${leaves(model)}`;
  at("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const { contract } = model;
    try {
      const answer = contract.batched
        ? await model.predict([rowOf(at("form"), contract.inputs)])
        : await model.infer(tensorsOf(at("form"), contract.inputs));
      const told = answer.rows?.[0] ?? Object.fromEntries(answer.outputs.map(({ name, data }) => [name, data]));
      at("answer").replaceChildren(table({ ...told, ...answer.parameters }));
    } catch (error) {
      at("answer").replaceChildren(refused(error));
      if (!(error instanceof ServableError)) throw error;
    }
  });
  document.body.dataset.ready = "true";
}

start()
  .catch((error) => {
    at("name").textContent = "The model cannot be loaded";
    at("state").textContent = error.message;
    document.body.dataset.ready = "false";
    if (!(error instanceof ServableError)) throw error;
  })
  .finally(() => {
    // Not before: what it keeps for later would come in the way of what is wanted now. A page without TLS has none.
    if ("serviceWorker" in navigator) navigator.serviceWorker.register("worker.js").catch(() => {});
  });
