// A canvas as a pure function of the rounds that the server tells.

// What a position is: open, draft, rejected, accepted, corrected, drawn, end, or after (behind the end).
const openCell = () => ({ state: "open", text: "", struck: "", fresh: false });

export const isFilled = (cell) => ["accepted", "corrected", "drawn", "end", "after"].includes(cell.state);

export function canvasAt(size, rounds, passes = Infinity) {
  let cells = Array.from({ length: size }, openCell);
  let reached = 0;
  for (const round of rounds) {
    if (round.passes > passes) break;
    cells = afterRound(cells, round);
    reached = round.passes;
  }
  return { cells, passes: reached, tokens: cells.filter((cell) => isFilled(cell) && cell.state !== "after").length };
}

function afterRound(before, round) {
  const cells = before.map((cell) => (isFilled(cell) ? { ...cell, struck: "", fresh: false } : openCell()));
  for (const at of round.reopened) cells[at] = { ...openCell(), struck: before[at].text };
  for (const { at, text } of round.rejected) {
    cells[at] = { ...cells[at], struck: text };
    if (!isFilled(cells[at])) cells[at].state = "rejected";
  }
  for (const { at, text, id } of round.drafts) {
    // of several drafts at a position the likeliest comes first
    if (!isFilled(cells[at]) && cells[at].state !== "draft") cells[at] = { ...cells[at], state: "draft", text, id };
  }
  for (const { at, id, text, logprob, how, end } of round.filled) {
    const state = end ? "end" : how === "implied" ? "after" : how;
    cells[at] = { state, how, id, text, logprob, pass: round.passes, struck: cells[at].struck, fresh: true };
  }
  return behindTheEnd(cells);
}

// Whatever stands behind the first end token is no text.
function behindTheEnd(cells) {
  const first = cells.findIndex((cell) => cell.state === "end");
  if (first < 0) return cells;
  return cells.map((cell, at) => (at > first ? { ...cell, state: "after" } : cell));
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
