// Rules: guardrails over rows, before and after the model. The tests come from the contract as trees of data: nothing
// is compiled or evaluated as code, so that a page may forbid both.

import { ServableError } from "./contract.js";
import { distance } from "./distance.js";
import { cut, general, quoted, ranges } from "./text.js";

const DECIDING = ["refuse", "answer", "fallback"];
const ROWS_NAMED = 5;

/** No value: null, or not a number. Of three truths the third, unknown, is null as well. */
const missing = (value) => value === null || Number.isNaN(value);
const either = (...parts) => (parts.includes(true) ? true : parts.includes(null) ? null : false);
const both = (...parts) => (parts.includes(false) ? false : parts.includes(null) ? null : true);
const denied = (part) => (part === null ? null : !part);
const equal = (left, right) => (missing(left) || missing(right) ? null : left === right);
const compared = (holds) => (left, right) => (missing(left) || missing(right) ? null : holds(left, right));
const ofText = (does, absent) => (text) => (text === null ? absent : does(text));

function power(base, exponent) {
  if (Number.isNaN(base) || Number.isNaN(exponent)) return NaN;
  return Math.abs(base) === 1 && Math.abs(exponent) === Infinity ? 1 : base ** exponent;
}

const DOES = {
  or: either,
  and: both,
  not: denied,
  "==": equal,
  "!=": (left, right) => denied(equal(left, right)),
  "<": compared((left, right) => left < right),
  "<=": compared((left, right) => left <= right),
  ">": compared((left, right) => left > right),
  ">=": compared((left, right) => left >= right),
  in: (value, ...others) => either(...others.map((other) => equal(value, other))),
  "is missing": missing,
  "+": (left, right) => left + right,
  "-": (left, right) => left - right,
  "*": (left, right) => left * right,
  "/": (left, right) => left / right,
  "**": power,
  negative: (value) => -value,
  abs: Math.abs,
  ceil: Math.ceil,
  coalesce: (...values) => values.find((value) => !missing(value)) ?? values.at(-1),
  exp: Math.exp,
  floor: Math.floor,
  length: ofText((text) => [...text].length, NaN),
  log: Math.log,
  log10: Math.log10,
  lower: ofText((text) => text.toLowerCase(), null),
  max: Math.max,
  min: Math.min,
  sqrt: Math.sqrt,
};

/** The value of an expression in a row; `column` gives a column's value there. */
export function evaluate(tree, column) {
  if ("value" in tree) return tree.value;
  if ("column" in tree) return column(tree.column);
  return DOES[tree.does](...tree.to.map((operand) => evaluate(operand, column)));
}

const FIRES = {
  bounds: (rule, column) => {
    const value = column(rule.column);
    return (rule.low !== null && value < rule.low) || (rule.high !== null && value > rule.high);
  },
  categories: (rule, column) => !missing(column(rule.column)) && !rule.allowed.includes(column(rule.column)),
  missing: (rule, column) => missing(column(rule.column)),
  distance: (rule, column) => distance(rule, column) > rule.limit,
  expression: (rule, column) => evaluate(rule.when, column) === true,
  interval: (rule, column) => {
    const size = sizeOf(rule, column);
    return rule.widest !== null ? size > rule.widest : rule.most !== null && (size > rule.most || size === 0);
  },
};

/** How wide the interval is, or how many classes the set holds. */
function sizeOf(rule, column) {
  const values = rule.columns.map(column);
  if (rule.most !== null) return values.filter(Boolean).length;
  return rule.narrow ? Math.fround(values[1] - values[0]) : values[1] - values[0];
}

function got(rule, column, places) {
  const one = (name) => shown(column(name), places[name].datatype);
  if (rule.judges === "expression") return rule.columns.map((name) => `${name} = ${one(name)}`).join(", ");
  if (rule.judges === "distance") return general(distance(rule, column), 4);
  return rule.judges === "interval" ? general(sizeOf(rule, column)) : one(rule.column);
}

function shown(value, datatype) {
  if (missing(value)) return "nothing";
  if (typeof value === "string") return cut(quoted(value));
  return datatype.startsWith("FP") ? general(value) : quoted(value);
}

/** What is put in the place of a value where a rule clips. */
function put(rule, value) {
  if (rule.to !== null) return rule.to;
  return rule.low !== null && value < rule.low ? rule.low : rule.high;
}

/** The rules of one model. */
export class Guard {
  constructor({ rules, places, around, fixed }) {
    this.rules = rules;
    this.places = places;
    this.around = around;
    this.fixed = fixed;
  }

  /** The whole answer to `count` rows; `predict(columns, rows)` is the model's to some of them. Throws ServableError. */
  async answer(columns, count, predict) {
    const every = this.fired(false, columns, columns, count);
    this.refuse(every, columns, columns);
    const by = Array(count).fill(null);
    decide(by, every);
    handOver(by);
    const left = open(by);
    const parts = [];
    if (left.length) {
      const asked = take(this.clipped(columns, every), left);
      const answer = this.withIntervals(await predict(asked, left.length), left.length);
      const own = take(columns, left);
      const found = this.fired(true, own, answer, left.length);
      this.refuse(found, own, answer, left);
      const clipped = this.clipped(answer, found);
      const more = found.map((each) => ({ rule: each.rule, rows: each.rows.map((row) => left[row]) }));
      decide(by, more);
      handOver(by);
      every.push(...more);
      const kept = open(by);
      const numbers = new Map(left.map((row, at) => [row, at]));
      parts.push([kept, take(clipped, kept.map((row) => numbers.get(row)))]);
    }
    by.forEach((rule, row) => rule && parts.push([[row], this.fixed[rule.name]]));
    return { columns: together(parts, count), parameters: acted(every, by) };
  }

  fired(answered, inputs, outputs, count) {
    return this.rules
      .filter((rule) => rule.answered === answered)
      .map((rule) => ({ rule, rows: numbers(count).filter((row) => FIRES[rule.judges](rule, this.column(inputs, outputs, row))) }))
      .filter((each) => each.rows.length);
  }

  /** A function from a column's name to its value in a row. */
  column(inputs, outputs, row) {
    return (name) => {
      const { field, at, width, answered } = this.places[name];
      return (answered ? outputs : inputs)[field].values[row * width + at];
    };
  }

  refuse(fired, inputs, outputs, numbers) {
    const refusing = fired.filter((each) => each.rule.action === "refuse");
    if (!refusing.length) return;
    const rules = refusing.map(({ rule, rows }) => {
      const named = numbers ? rows.map((row) => numbers[row]) : rows;
      const came = rows.slice(0, ROWS_NAMED).map((row, at) => `${got(rule, this.column(inputs, outputs, row), this.places)} (row ${named[at]})`);
      return {
        rule: rule.name, severity: rule.severity, rows: ranges(named), reason: rule.reason, expected: rule.expected,
        got: came.join(", ") + (rows.length > ROWS_NAMED ? ", …" : ""),
      };
    });
    const told = rules.map((each) => `rule ${quoted(each.rule)}: ${each.reason ? `${each.reason}; ` : ""}expected ${each.expected}, got ${each.got}`);
    throw new ServableError("refused", `refused by ${told.join("; ")}`, { rules });
  }

  clipped(columns, fired) {
    const changed = { ...columns };
    for (const { rule, rows } of fired.filter((each) => each.rule.action === "clip")) {
      const { field, at, width } = this.places[rule.column];
      if (changed[field] === columns[field]) changed[field] = { ...columns[field], values: [...columns[field].values] };
      const { values } = changed[field];
      const now = (name) => (name === rule.column ? values : null);
      for (const row of rows) {
        const index = row * width + at;
        if (FIRES[rule.judges](rule, (name) => now(name)[index])) values[index] = put(rule, values[index]);
      }
    }
    return changed;
  }

  /** The answer with the interval, or the set of classes, that stands around each output. */
  withIntervals(answer, count) {
    const whole = { ...answer };
    for (const { output, name, cast, edges, halves, threshold } of this.around) {
      const { values, shape } = answer[output];
      if (threshold !== null) {
        whole[name] = { values: values.map((value) => 1 - value <= threshold), shape };
      } else {
        const ends = values.flatMap((value) => {
          const half = halves[edges.filter((edge) => edge <= value).length];
          return [value - half, value + half];
        });
        whole[name] = { values: cast === "FP32" ? ends.map(Math.fround) : ends, shape: [count, 2] };
      }
    }
    return whole;
  }
}

/** Some rows of columns, in order. */
export function take(columns, rows) {
  return Object.fromEntries(
    Object.entries(columns).map(([name, { values, shape }]) => {
      const width = shape.slice(1).reduce((size, length) => size * length, 1);
      return [name, { values: rows.flatMap((row) => values.slice(row * width, (row + 1) * width)), shape: [rows.length, ...shape.slice(1)] }];
    }),
  );
}

function numbers(count) {
  return Array.from({ length: count }, (_, row) => row);
}

function open(by) {
  return numbers(by.length).filter((row) => by[row] === null);
}

/** Let rules decide over rows: the strongest action, then the first rule. What was decided before stands. */
function decide(by, fired) {
  for (const action of DECIDING) {
    for (const { rule, rows } of fired.filter((each) => each.rule.action === action)) {
      for (const row of rows) by[row] ??= rule;
    }
  }
}

/** Throw ServableError where a rule hands rows over to another model, which is not on this device: whoever has a server asks
 * it for the whole, so that it is answered by one version. */
function handOver(by) {
  const rule = by.find((each) => each?.action === "fallback");
  if (!rule) return;
  const rows = ranges(numbers(by.length).filter((row) => by[row] === rule));
  const told = `rule ${quoted(rule.name)} hands rows ${rows} over to ${quoted(rule.fallback)}, which is not on this device`;
  throw new ServableError("unavailable", told, { rule: rule.name, rows, fallback: rule.fallback });
}

/** Parts of rows as a whole; where a part has no such output, nothing. */
function together(parts, count) {
  const columns = {};
  for (const [, part] of parts) {
    for (const [name, { values, shape }] of Object.entries(part)) {
      const width = shape.slice(1).reduce((size, length) => size * length, 1);
      const nothing = typeof values[0] === "boolean" ? false : null;
      columns[name] ??= { values: Array(count * width).fill(nothing), shape: [count, ...shape.slice(1)] };
    }
  }
  for (const [rows, part] of parts) {
    for (const [name, { values, shape }] of Object.entries(part)) {
      const width = shape.slice(1).reduce((size, length) => size * length, 1);
      rows.forEach((row, at) => {
        for (let step = 0; step < width; step++) columns[name].values[row * width + step] = values[at * width + step];
      });
    }
  }
  return columns;
}

/** Each rule with the rows where it had its way. */
function acted(fired, by) {
  const found = {};
  for (const { rule, rows } of fired) {
    const own = DECIDING.includes(rule.action) ? rows.filter((row) => by[row] === rule)
      : rule.action === "clip" ? rows.filter((row) => by[row] === null) : rows;
    if (own.length) found[`rule.${rule.name}`] = `${rule.action} rows ${ranges(own)}${rule.reason ? `: ${rule.reason}` : ""}`;
  }
  return found;
}
