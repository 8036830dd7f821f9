// WordPiece: texts to the tokens of BERT's family, as the server's tokenizer makes them. Loaded where a model needs it.

import { encoded } from "./special.js";

const SPACE = /\p{White_Space}/u;
const OTHER = /\p{C}/u;
const ACCENT = /\p{Mn}/gu;
const MARK = /[!-/:-@[-`{-~]|\p{P}/u;
const IDEOGRAPHS = [
  [0x4e00, 0x9fff], [0x3400, 0x4dbf], [0x20000, 0x2a6df], [0x2a700, 0x2b73f], [0x2b740, 0x2b81f], [0x2b920, 0x2ceaf],
  [0xf900, 0xfaff], [0x2f800, 0x2fa1f],
];

/** `settings` is what the export wrote of the tokenizer; `vocabulary` its tokens, a line each, in the order of their numbers. */
export class Tokenizer {
  constructor(settings, vocabulary) {
    this.settings = settings;
    this.numbers = new Map(vocabulary.split("\n").map((token, number) => [token, number]));
  }

  /** The numbers of the tokens of a text, no more than the model reads. */
  encode(text) {
    return encoded(text, this.settings, (part) => this.normal(part), (part) => words(part).flatMap((word) => this.pieces(word)));
  }

  normal(text) {
    const { clean, ideographs, accents, lowercase } = this.settings;
    let found = [...text];
    if (clean) found = found.filter(kept).map((letter) => (SPACE.test(letter) ? " " : letter));
    if (ideographs) found = found.map((letter) => (isIdeograph(letter) ? ` ${letter} ` : letter));
    if (accents) found = [...found.join("").normalize("NFD").replace(ACCENT, "")];
    // Each letter by itself: what a text makes of a last sigma is not what the vocabulary was made of.
    return lowercase ? found.map((letter) => letter.toLowerCase()).join("") : found.join("");
  }

  /** The longest known beginning, then the longest known continuation, until the word is used up; else it is unknown. */
  pieces(word) {
    const { unknown, continues, most_letters } = this.settings;
    const letters = [...word];
    if (letters.length > most_letters) return [unknown];
    const found = [];
    for (let from = 0; from < letters.length; ) {
      let to = letters.length;
      let number;
      for (; to > from && number === undefined; to--) number = this.numbers.get((from ? continues : "") + letters.slice(from, to).join(""));
      if (number === undefined) return [unknown];
      found.push(number);
      from = to + 1;
    }
    return found;
  }
}

function kept(letter) {
  if ("\t\n\r".includes(letter)) return true;
  return letter !== "\0" && letter !== "\ufffd" && !OTHER.test(letter);
}

function isIdeograph(letter) {
  const code = letter.codePointAt(0);
  return IDEOGRAPHS.some(([low, high]) => code >= low && code <= high);
}

/** Words between spaces; each punctuation mark is one of its own. */
function words(text) {
  const found = [];
  let word = "";
  for (const letter of text) {
    const space = SPACE.test(letter);
    if ((space || MARK.test(letter)) && word) [word] = ["", found.push(word)];
    if (!space && MARK.test(letter)) found.push(letter);
    else if (!space) word += letter;
  }
  return word ? [...found, word] : found;
}
