// Server: asks the server in the place of this device, by the same contract, where the device cannot or may not answer.

import { ServableError } from "./contract.js";

const WAIT_MS = 60_000;

/** A model that is asked over the network; `why` says so. It has the shape of one that is here. */
export class Remote {
  constructor(contract, server, key) {
    this.contract = contract;
    this.device = "server";
    this.url = new URL(`v2/models/${contract.name}/infer`, server);
    this.headers = { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
  }

  predict(rows) {
    return this.ask({ rows });
  }

  infer(inputs) {
    return this.ask({ inputs: inputs.map((each) => ({ ...each, data: ArrayBuffer.isView(each.data) ? Array.from(each.data, plain) : each.data })) });
  }

  async ask(body) {
    const request = { method: "POST", headers: this.headers, body: JSON.stringify(body), signal: AbortSignal.timeout(WAIT_MS) };
    let told, ok;
    try {
      const response = await fetch(this.url, request);
      [ok, told] = [response.ok, await response.json()];
    } catch (error) {
      throw new ServableError("unavailable", `the server that would answer in place of this device cannot be reached: ${error.message}`);
    }
    if (ok) return told;
    const { error, code, ...detail } = told;
    throw new ServableError(code, error, detail);
  }

  async close() {}
}

function plain(value) {
  return typeof value === "bigint" ? Number(value) : value;
}
