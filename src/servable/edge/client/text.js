// Text: values as the server's messages tell them, so that a refusal reads the same wherever it is spoken.

/** A number to so many significant digits: 12, 0.25, 1e+20, nan. Ties go to the even digit, as the server's do. */
export function general(value, digits = 6) {
  if (!Number.isFinite(value)) return special(value);
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const exact = Math.abs(value).toExponential(40).replace(".", "");
  const tie = /^50*e/.test(exact.slice(digits)) && Number(exact[digits - 1]) % 2 === 0;
  const rounded = tie
    ? `${exact[0]}.${exact.slice(1, digits)}${exact.slice(exact.indexOf("e"))}`
    : Math.abs(value).toExponential(digits - 1);
  const exponent = Number(rounded.split("e")[1]);
  return (value < 0 ? "-" : "") + written(rounded, exponent < -4 || exponent >= digits, "");
}

/** A float as it is printed in full: the fewest digits that give it back in its datatype, without exponent if small. */
export function shortest(value, datatype = "FP64", plainBelow = 1e16) {
  if (!Number.isFinite(value)) return special(value);
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const size = Math.abs(value);
  return (value < 0 ? "-" : "") + written(fewest(size, datatype), size < 1e-4 || size >= plainBelow, ".0");
}

/** The number that JSON holds for a value of a datatype: 0.1, not the 64-bit neighbour of its 32-bit form. */
export function narrow(value, datatype) {
  return datatype === "FP64" || !Number.isFinite(value) ? value : Math.sign(value) * Number(fewest(Math.abs(value), datatype));
}

/** The nearest value that a datatype of floats has. */
export function rounded(value, datatype) {
  if (datatype === "FP32") return Math.fround(value);
  return datatype === "FP16" ? half(value) : value;
}

/** A value quoted as the server quotes it. */
export function quoted(value) {
  if (typeof value === "string") return quotedText(value);
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return Number.isInteger(value) && Math.abs(value) < 1e21 ? BigInt(value).toString() : shortest(value);
  if (Array.isArray(value)) return `[${value.map(quoted).join(", ")}]`;
  return `{${Object.entries(value).map(([name, of]) => `${quoted(name)}: ${quoted(of)}`).join(", ")}}`;
}

/** The first characters of a text. */
export function cut(text, most = 80) {
  return [...text].slice(0, most).join("");
}

/** Ascending row numbers, written short: 1-3,9. */
export function ranges(rows) {
  const parts = [];
  for (const row of rows) {
    const last = parts.at(-1);
    if (last && last[1] === row - 1) last[1] = row;
    else parts.push([row, row]);
  }
  return parts.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

function special(value) {
  return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

/** The digits of `1.25e+3`, with an exponent or without; `whole` ends what has no fraction then. */
function written(scientific, exponential, whole) {
  const [mantissa, power] = scientific.split("e");
  const exponent = Number(power);
  const digits = mantissa.replace(".", "").replace(/0+$/, "") || "0";
  if (exponential) {
    const sign = exponent < 0 ? "-" : "+";
    return `${digits[0]}${digits.length > 1 ? "." + digits.slice(1) : ""}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${digits}`;
  const padded = digits.padEnd(exponent + 1, "0");
  const fraction = padded.slice(exponent + 1);
  return padded.slice(0, exponent + 1) + (fraction ? `.${fraction}` : whole);
}

function fewest(value, datatype) {
  if (datatype === "FP64") return value.toExponential();
  for (let digits = 0; digits < 9; digits++) {
    const tried = value.toExponential(digits);
    if (rounded(Number(tried), datatype) === value) return tried;
  }
  return value.toExponential();
}

function half(value) {
  const size = Math.abs(value);
  if (!(size < 65520)) return Number.isNaN(value) ? NaN : Math.sign(value) * Infinity;
  const step = 2 ** (Math.max(Math.floor(Math.log2(size || 1)), -14) - 10);
  const steps = size / step;
  const down = Math.floor(steps);
  const up = steps - down > 0.5 || (steps - down === 0.5 && down % 2 === 1);
  return Math.sign(value) * (down + (up ? 1 : 0)) * step;
}

function quotedText(text) {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const named = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", [mark]: `\\${mark}` };
  const inside = [...text].map((char) => {
    if (char in named) return named[char];
    if (char === " " || !/[\p{C}\p{Z}]/u.test(char)) return char;
    const code = char.codePointAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : code.length <= 4 ? `\\u${code.padStart(4, "0")}` : `\\U${code.padStart(8, "0")}`;
  });
  return mark + inside.join("") + mark;
}
