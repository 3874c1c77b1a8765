// A canvas as a pure function of the rounds that the server tells.

// What a position is: open, draft, rejected, accepted, corrected, drawn, end, or after (behind the end).
const openCell = () => ({ state: "open", text: "", struck: "", fresh: false });

export const isFilled = (cell) => ["accepted", "corrected", "drawn", "end", "after"].includes(cell.state);

// A canvas of which nothing is known; `cells` are never changed in place.
export const emptyCanvas = (size) => ({ cells: Array.from({ length: size }, openCell), passes: 0, kept: 0, drafted: 0 });

export function afterRound(before, round) {
  const held = round.filled.filter(({ how }) => how === "accepted").length;
  return {
    cells: behindTheEnd(cellsAfter(before.cells, round)),
    passes: round.passes,
    kept: before.kept + held,
    drafted: before.drafted + held + round.rejected.length,
  };
}

function cellsAfter(before, round) {
  const cells = before.map((cell) => (!isFilled(cell) ? openCell() : cell.struck || cell.fresh ? { ...cell, struck: "", fresh: false } : cell));
  for (const at of round.reopened) cells[at] = { ...openCell(), struck: before[at].text };
  for (const { at, text } of round.rejected) {
    cells[at] = { ...cells[at], struck: text, state: isFilled(cells[at]) ? cells[at].state : "rejected" };
  }
  for (const { at, text, end } of round.drafts) {
    // of several drafts at a position the likeliest comes first
    if (!isFilled(cells[at]) && cells[at].state !== "draft") cells[at] = { ...cells[at], state: "draft", text: end ? "\u00b6" : text };
  }
  for (const { at, id, text, logprob, how, end } of round.filled) {
    const state = end ? "end" : how === "implied" ? "after" : how;
    cells[at] = { state, how, id, text, logprob, pass: round.passes, struck: cells[at].struck, fresh: true };
  }
  return cells;
}

// Whatever stands behind the first end token is no text.
function behindTheEnd(cells) {
  const first = cells.findIndex((cell) => cell.state === "end");
  if (first < 0) return cells;
  return cells.map((cell, at) => (at > first && cell.state !== "after" ? { ...cell, state: "after", text: "", struck: "" } : cell));
}

// Tokens of the text, its end among them, and their log p.
export function told(cells) {
  const text = cells.filter((cell) => isFilled(cell) && cell.state !== "after");
  return { tokens: text.length, logprob: text.reduce((sum, cell) => sum + cell.logprob, 0) };
}

export function textIds(cells) {
  const ids = [];
  for (const cell of cells) {
    if (!["accepted", "corrected", "drawn"].includes(cell.state)) break;
    ids.push(cell.id);
  }
  return ids;
}

export const textOf = (cells, from, to) => cells.slice(from, to).filter((cell) => !["end", "after"].includes(cell.state)).map((cell) => cell.text).join("");
