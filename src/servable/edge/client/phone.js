// React Native: the model with onnxruntime-react-native. The app reads model.ort from its assets and gives the bytes.

import * as ort from "onnxruntime-react-native";
import { ServableError } from "./contract.js";
import { CONTRACT, GOLDEN } from "./facts.js";
import * as golden from "./golden.js";
import { made } from "./model.js";

export { ServableError };

/** The model of these bytes. */
export function load(bytes) {
  return made(CONTRACT, bytes, ort);
}

/** Where the model answers golden rows otherwise than where it was made: nowhere, or something is wrong on this device. */
export function differences(model) {
  const { asked, absolute, relative } = GOLDEN;
  return golden.differences(model, { bodies: asked.map(({ body }) => body), told: asked.map(({ told }) => told), absolute, relative });
}
