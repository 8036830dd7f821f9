#!/usr/bin/env node
// Node: answers over HTTP, on a port that only this machine reaches: Open Inference Protocol V2, rows or tensors in JSON.

import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { load, ServableError } from "./node.js";

const HERE = "127.0.0.1";
const NAMES = [HERE, "localhost"];
const MOST_BYTES = 64 * 2 ** 20;
const SILENT_MS = 30_000;
const STATUS = {
  invalid_input: 400, forbidden: 403, not_found: 404, too_large: 413, refused: 422, unsupported: 501, unavailable: 503,
};

/** Answer for a model until the process is told to end; gives the URL once the port is open. */
async function serve(model, port) {
  const prefix = randomBytes(6).toString("hex");
  let count = 0;
  const server = createServer({ requestTimeout: SILENT_MS }, async (request, response) => {
    const [status, told] = await answer(model, request, () => `${prefix}-${(++count).toString(16)}`).then(
      (found) => [200, found],
      (error) => refused(error),
    );
    const body = JSON.stringify(told);
    response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) }).end(body);
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(port, HERE, resolve));
  for (const name of ["SIGINT", "SIGTERM"]) {
    process.once(name, () => {
      server.close(() => process.exit(0)); // what is being answered is answered
      server.closeIdleConnections();
    });
  }
  return `http://${HERE}:${server.address().port}`;
}

async function answer(model, request, newId) {
  const host = (request.headers.host ?? HERE).split(":")[0];
  if (!NAMES.includes(host)) throw new ServableError("forbidden", `this answers to ${NAMES.join(" and ")}, not to '${host}'`);
  const { name, version } = model.contract;
  const path = new URL(request.url, "http://here").pathname;
  const base = `/v2/models/${name}`;
  const about = [`${base}/versions/${version}`, base].find((start) => path === start || path.startsWith(`${start}/`));
  const what = about === undefined ? path : path.slice(about.length);
  if (request.method === "POST" && about !== undefined && what === "/infer") return infer(model, await read(request), request, newId);
  const told = request.method === "GET" && (about === undefined ? PLAIN[what] : { "": metadata, "/ready": ready }[what]);
  if (!told) throw new ServableError("not_found", `there is nothing at ${request.method} ${path}: this is ${base}, version ${version}`);
  return told(model.contract);
}

const PLAIN = {
  "/v2": () => ({ name: "servable", extensions: ["parameters"] }),
  "/v2/health/live": () => ({ live: true }),
  "/v2/health/ready": () => ({ ready: true }),
};

function ready({ name, version }) {
  return { name, version, ready: true };
}

function metadata({ name, version, inputs, outputs }) {
  const tensor = ({ name: own, datatype, shape, features }) => ({ name: own, datatype, shape, ...(features.length ? { features } : {}) });
  return { name, versions: [version], platform: "onnx_onnxv1", inputs: inputs.map(tensor), outputs: outputs.map(tensor) };
}

async function infer(model, body, request, newId) {
  const given = await ("rows" in body && !("inputs" in body) ? model.predict(body.rows) : model.infer(body.inputs));
  const { model_name, model_version, ...rest } = given;
  const own = typeof body.id === "string" && body.id !== "" ? body.id : request.headers["x-request-id"]?.slice(0, 256);
  return { model_name, model_version, id: own ?? newId(), ...rest };
}

async function read(request) {
  if ("inference-header-content-length" in request.headers) throw new ServableError("unsupported", "binary tensors are not read here: send JSON");
  if ("content-encoding" in request.headers) throw new ServableError("unsupported", "compressed bodies are not read here: send it as it is");
  const parts = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > MOST_BYTES) throw new ServableError("too_large", `the body has over ${MOST_BYTES} bytes: ask in parts`);
    parts.push(part);
  }
  let body;
  try {
    body = JSON.parse(Buffer.concat(parts).toString("utf8"));
  } catch (error) {
    throw new ServableError("invalid_input", `the request breaks the contract of the model: 'body': expected valid JSON, got ${error.message}`);
  }
  if (body === null || typeof body !== "object" || Array.isArray(body)) {
    throw new ServableError("invalid_input", "the request breaks the contract of the model: 'body': expected a JSON object");
  }
  return body;
}

function refused(error) {
  if (!(error instanceof ServableError)) return [500, { error: `this failed: ${error.message}`, code: "internal" }];
  const { name, ...told } = error;
  return [STATUS[error.code] ?? 500, { error: error.message, ...told }];
}

const { values } = parseArgs({ options: { port: { type: "string", default: "8080" } } });
try {
  console.log(await serve(await load(), Number(values.port)));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = error instanceof ServableError ? 1 : error.code === "ERR_SOCKET_BAD_PORT" ? 2 : 3;
}
