// For the proof alone: the package for React Native, asked in Node.

import { readFile } from "node:fs/promises";
import { differences, load, ServableError } from "./phone.js";

const asked = JSON.parse(await readFile(process.argv[2], "utf8"));
const model = await load(new Uint8Array(await readFile(new URL("model.ort", import.meta.url))));
const wrong = await differences(model);
if (wrong.length) throw new Error(`golden rows are answered otherwise: ${wrong[0]}`);
for (const body of asked.bodies) {
  const answer = await ("inputs" in body ? model.infer(body.inputs) : model.predict(body.rows)).catch((error) => {
    if (!(error instanceof ServableError)) throw error;
    return { error: error.message, ...error };
  });
  console.log(JSON.stringify(answer));
}
