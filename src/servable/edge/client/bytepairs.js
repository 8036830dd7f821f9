// Byte pairs: texts to the tokens of GPT-2's and RoBERTa's families, as the server's tokenizer makes them. Loaded where a
// model needs it.

import { encoded } from "./special.js";

/** A word with the space before it; numbers, marks and white space by themselves. */
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** `settings` is what the export wrote of the tokenizer; `vocabulary` its tokens, a line each, in the order of their
 * numbers, then, behind an empty line, the pairs that are merged, the earlier ones first. */
export class Tokenizer {
  constructor(settings, vocabulary) {
    const [tokens, merges = ""] = vocabulary.split("\n\n");
    this.settings = settings;
    this.letters = [...settings.letters];
    this.numbers = new Map(tokens.split("\n").map((token, number) => [token, number]));
    this.ranks = new Map(merges.split("\n").map((pair, rank) => [pair, rank]));
  }

  /** The numbers of the tokens of a text, no more than the model reads. */
  encode(text) {
    const { form } = this.settings;
    return encoded(text, this.settings, (part) => (form ? part.normalize(form) : part), (part) => this.plain(part));
  }

  plain(text) {
    const spaced = this.settings.space && !text.startsWith(" ") ? ` ${text}` : text;
    return (spaced.match(WORDS) ?? []).flatMap((word) => this.pieces(word));
  }

  /** The word by its bytes, of which the pair that comes first in the list is merged, until none is in it. */
  pieces(word) {
    let parts = Array.from(new TextEncoder().encode(word), (byte) => this.letters[byte]);
    const whole = this.settings.whole ? this.numbers.get(parts.join("")) : undefined;
    if (whole !== undefined) return [whole];
    while (parts.length > 1) {
      const ranks = parts.slice(1).map((part, at) => this.ranks.get(`${parts[at]} ${part}`) ?? Infinity);
      const best = ranks.reduce((low, rank) => Math.min(low, rank), Infinity);
      if (best === Infinity) break;
      const merged = [];
      for (let at = 0; at < parts.length; at++) merged.push(ranks[at] === best ? parts[at] + parts[++at] : parts[at]);
      parts = merged;
    }
    return parts.map((part) => this.numbers.get(part));
  }
}
