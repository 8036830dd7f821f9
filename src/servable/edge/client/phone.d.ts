import type { Model } from "./index.d.ts";

export type { Answer, Model, Refusal, Row, Tensor, Value } from "./index.d.ts";
export { ServableError } from "./index.d.ts";

/** The model of the bytes of model.ort. Throws ServableError. */
export function load(bytes: Uint8Array): Promise<Model>;

/** Where the model answers golden rows otherwise on this device than where it was made. */
export function differences(model: Model): Promise<string[]>;
