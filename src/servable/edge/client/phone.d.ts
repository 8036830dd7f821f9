import type { Model } from "./index.js";

export type { Answer, Model, Refusal, Row, Tensor, Value } from "./index.js";
export { ServableError } from "./index.js";

/** The model of the bytes of model.ort. Throws ServableError. */
export function load(bytes: Uint8Array): Promise<Model>;

/** Where the model answers golden rows otherwise on this device than where it was made. */
export function differences(model: Model): Promise<string[]>;
