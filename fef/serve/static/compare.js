// Whether two answers are the same, in words.

export function firstDifference(ids, others) {
  const most = Math.max(ids.length, others.length);
  for (let at = 0; at < most; at++) if (ids[at] !== others[at]) return at;
  return -1;
}

// one, other: {name, ids, cells, law, exact}
export function verdict(one, other) {
  const at = firstDifference(one.ids, other.ids);
  const promised = one.law === other.law && one.exact && other.exact;
  if (at < 0) {
    const why = promised ? "as both certificates name the same law." : "though the certificates do not promise it.";
    return { same: true, at, title: "Same text,", words: `token for token, ${why}` };
  }
  const token = ({ ids, cells }) => (at < ids.length ? quoted(cells[at].text) : "the end");
  const why = promised ? "The certificates name the same law, so a tie fell two ways in rounding." : "The certificates do not promise one text.";
  return {
    same: false,
    at,
    title: `First difference at token ${at + 1}:`,
    words: `${token(one)} in ${one.name}, ${token(other)} in ${other.name}. ${why}`,
  };
}

export const counted = (passes) => `${passes} ${passes === 1 ? "pass" : "passes"}`;

export const quoted = (text) => `\u201c${text.replaceAll("\n", "\u21b5").replaceAll(" ", "\u00a0")}\u201d`;
