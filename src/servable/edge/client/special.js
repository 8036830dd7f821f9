// Special: what all tokenizers share. Tokens that stand for themselves in a text, those around it, and how many are read.

const LEADING = /^\p{White_Space}*/u;
const TRAILING = /\p{White_Space}*$/u;

/** The numbers of a text: `normal` gives its normal form, `plain` the numbers of what holds no special token. */
export function encoded(text, { special, start, end, longest }, normal, plain) {
  const late = special.filter((each) => each.normal).map((each) => ({ ...each, token: normal(each.token) }));
  const found = split(text, special.filter((each) => !each.normal)).flatMap((part) =>
    part.id !== undefined ? [part.id] : split(normal(part.text), late).flatMap((rest) => (rest.id !== undefined ? [rest.id] : plain(rest.text))),
  );
  const most = longest ? longest - start.length - end.length : found.length;
  return [...start, ...found.slice(0, most), ...end];
}

/** Special tokens, and the texts between them: the first token counts, of several at one place the longest. */
function split(text, special) {
  const longestFirst = [...special].sort((one, other) => other.token.length - one.token.length);
  const pattern = new RegExp(longestFirst.map(({ token }) => escaped(token)).join("|") || "(?!)", "gu");
  const named = new Map(special.map((each) => [each.token, each]));
  const found = [];
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    const { id, left, right } = named.get(match[0]);
    const end = match.index + match[0].length;
    const before = text.slice(from, match.index);
    const kept = left ? before.replace(TRAILING, "") : before;
    if (kept) found.push({ text: kept });
    found.push({ id });
    from = right ? end + text.slice(end).match(LEADING)[0].length : end;
  }
  if (from < text.length) found.push({ text: text.slice(from) });
  return found;
}

function escaped(token) {
  return token.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
