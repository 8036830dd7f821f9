/** A value of a column: `null` where there is none; lists where the model takes more than one number a row. */
export type Value = number | string | boolean | null | Value[];
export type Row = Record<string, Value>;

export interface Answer {
  /** Of an export made with `--records`, and of a server. */
  id?: string;
  model_name: string;
  model_version: string;
  /** Which rules fired: `rule.NAME` to the action and the rows. */
  parameters?: Record<string, string>;
  /** One object for each row asked: a value, or values by feature, for each output. */
  rows: Record<string, Value | Record<string, Value>>[];
}

/** Values of a datatype of the Open Inference Protocol, flat or nested like their shape; `null` is missing. */
export interface Tensor {
  name: string;
  datatype: "BOOL" | "UINT8" | "UINT16" | "UINT32" | "UINT64" | "INT8" | "INT16" | "INT32" | "INT64" | "FP16" | "FP32" | "FP64" | "BYTES";
  shape: number[];
  data: Value | ArrayBufferView;
}

export interface Refusal {
  rule: string;
  severity: "info" | "warning" | "error";
  rows: string;
  reason: string;
  expected: string;
  got: string;
}

/** What the server would have answered in place of a prediction, in the same words. */
export class ServableError extends Error {
  code: "invalid_input" | "refused" | "model_failed" | "digest_mismatch" | "unavailable" | "unsupported";
  faults?: string[];
  rules?: Refusal[];
}

export interface Model {
  /** Everything the model is known by: signature, rules, digests. */
  readonly contract: Record<string, unknown>;
  /** What computes; in a browser. */
  readonly device?: "wasm" | "webgpu" | "server";
  /** Throws ServableError. */
  predict(rows: Row[]): Promise<Answer>;
  /** The same for tensors, and the only way to ask a model that has no rows. Throws ServableError. */
  infer(inputs: Tensor[]): Promise<Omit<Answer, "rows"> & { outputs: (Tensor & { data: Value[] })[] }>;
  close(): Promise<void>;
}

/** How the last look for an update ended: a word, and a sentence for people. */
export interface State {
  update:
    | "unknown" | "current" | "installed" | "withdrawn" | "rolled-back" | "busy"
    | "unreachable" | "unverifiable" | "forged" | "damaged" | "foreign" | "stale" | "too-new" | "rejected" | "no-room" | "unkept" | "unsupported";
  message: string;
}

/** A model of an export that takes updates, or asks a server where it cannot answer. */
export interface Living extends Model {
  readonly state: State;
  /** Why it may not answer now; null: it may. */
  readonly stopped: string | null;
  /** Why the server answers in the place of this device; null: it does not. */
  readonly away: string | null;
  /** Called when the state, or the edition in use, is another one. */
  onchange: (model: Living) => void;
  /** What became of an answer, by its `id`, or `id/0`, `id/1` … for each row of several. Resolves once it is kept on this device; the
   * server hears of it when it can. Throws ServableError where there is no room, and no server. */
  outcome(id: string, value: boolean | number | string): Promise<void>;
  /** What goes home later, where the export was made with `--records`. */
  readonly queue: {
    /** Send what waits, now. Resolves with how many still wait. */
    send(): Promise<number>;
    dropped: number;
    refused: number;
    /** Why nothing more can be kept on this device; null: it can. */
    readonly full: string | null;
  } | null;
  /** Look for an update now. What fails changes nothing in use. */
  update(): Promise<State>;
  /** Go back to the edition before, and do not take this one again. */
  rollback(reason?: string): Promise<void>;
}

/** Load the model that lies beside this file: a Living one if it was exported with `--updates` or `--server`. `keep` is
 * a folder for newer editions, in Node; `key` is for the server. */
export function load(options?: { base?: URL; device?: "wasm" | "webgpu"; keep?: string; key?: string }): Promise<Model & Partial<Living>>;
