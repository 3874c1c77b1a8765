// An answer on the page: its canvas, counters, certificate, and what is known of one token.

import { isFilled, textOf, told } from "./canvas.js";
import { counted, quoted } from "./compare.js";
import { curlOf } from "./curl.js";
import { element, number, probability } from "./dom.js";

const WORDS = {
  open: "open",
  draft: "draft",
  rejected: "draft rejected",
  accepted: "draft accepted",
  corrected: "draft corrected",
  drawn: "drawn without a draft",
  end: "end of the text",
  after: "behind the end",
};

const KINDS = { chain: "exact sample", greedy: "exact, greedy", process: "exact process", bound: "within a bound", none: "no stated law" };

export class Panel {
  // run: see Run. actions: {chosen(at), fill(panel, from, to)}: a token was pointed at; tokens shall be filled again
  constructor(run, actions) {
    this.run = run;
    this.actions = actions;
    this.focus = 0;
    this.selection = null; // [from, to], inclusive
    this.shown = null; // the canvas as drawn
    this.difference = -1;
    this.#build();
  }

  #build() {
    const name = this.run.request.name;
    this.kind = element("span", { className: "kind" });
    this.law = element("p", { className: "law" });
    this.reasons = element("ul");
    this.certificate = element("details", { className: "certificate", hidden: true }, element("summary", {}, "Certificate: ", this.kind), this.law, this.reasons);
    this.counters = element("dl", { className: "counters" });
    this.canvas = element("div", {
      className: "canvas",
      aria: { role: "listbox", label: `Canvas of ${name}`, multiselectable: "true", orientation: "horizontal" },
    });
    this.cells = Array.from({ length: this.run.size }, (_, at) => this.#cell(at));
    this.canvas.append(...this.cells);
    this.error = element("p", { className: "error", hidden: true, aria: { role: "alert" } });
    this.detail = element("div", { className: "detail" });
    this.fill = element("button", { type: "button", disabled: true }, "Refill selection");
    this.copyText = element("button", { type: "button" }, "Copy text");
    this.copyCurl = element("button", { type: "button" }, "Copy as curl");
    this.root = element(
      "article",
      { className: "panel", aria: { label: name } },
      element("h2", {}, name),
      this.counters,
      this.error,
      element("div", { className: "flow" }, this.#given("before"), this.canvas, this.#given("after")),
      this.detail,
      this.certificate,
      element("div", { className: "actions" }, this.fill, this.copyText, this.copyCurl),
    );
    this.#listen();
    this.#showDetail(null);
  }

  // Text that was given beside the canvas.
  #given(side) {
    const text = this.run.request[side];
    return text ? element("span", { className: "given", title: `given ${side} the canvas` }, text) : null;
  }

  #cell(at) {
    return element("span", { tabIndex: at ? -1 : 0, dataset: { at }, aria: { role: "option", selected: "false" } }, element("span", { className: "token" }));
  }

  #listen() {
    const placeOf = (event) => {
      const cell = event.target.closest?.("[data-at]");
      return cell ? Number(cell.dataset.at) : -1;
    };
    this.canvas.addEventListener("pointerover", (event) => {
      const at = placeOf(event);
      if (at < 0) return;
      this.actions.chosen(at);
      if (event.buttons & 1 && this.anchor !== undefined) this.#select(this.anchor, at);
    });
    this.canvas.addEventListener("pointerdown", (event) => {
      const at = placeOf(event);
      if (at < 0) return;
      if (event.target.hasPointerCapture?.(event.pointerId)) event.target.releasePointerCapture(event.pointerId); // a finger can drag
      if (event.shiftKey) this.#select(this.focus, at);
      else this.#clear();
      this.anchor = event.shiftKey ? this.focus : at;
      this.#move(at);
    });
    this.canvas.addEventListener("focusin", (event) => this.actions.chosen(placeOf(event)));
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.fill.addEventListener("click", () => this.actions.fill(this, ...this.selection));
    this.copyText.addEventListener("click", () => this.#copy(this.copyText, textOf(this.run.last.cells)));
    this.copyCurl.addEventListener("click", () => {
      const { path, body } = this.run.request;
      this.#copy(this.copyCurl, curlOf(new URL(path, document.baseURI).href, body, Boolean(this.run.server.key)));
    });
  }

  #key(event) {
    const last = this.cells.length - 1;
    const to = { ArrowLeft: this.focus - 1, ArrowRight: this.focus + 1, ArrowUp: this.#line(-1), ArrowDown: this.#line(1), Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.#clear();
    if (to === undefined) return;
    event.preventDefault();
    const at = Math.min(Math.max(to, 0), last);
    if (event.shiftKey) {
      this.anchor ??= this.focus;
      this.#select(this.anchor, at);
    } else this.#clear();
    this.#move(at);
  }

  // The cell above or below.
  #line(step) {
    const here = this.cells[this.focus].getBoundingClientRect();
    let best = this.focus;
    let least = Infinity;
    this.cells.forEach((cell, at) => {
      const box = cell.getBoundingClientRect();
      const rows = Math.round((box.top - here.top) / here.height) * step;
      const far = Math.abs(box.left + box.width / 2 - here.left - here.width / 2) + 1e4 * rows;
      if (rows > 0 && far < least) [best, least] = [at, far];
    });
    return best;
  }

  #move(at) {
    this.cells[this.focus].tabIndex = -1;
    this.focus = at;
    this.cells[at].tabIndex = 0;
    this.cells[at].focus();
  }

  #select(from, to) {
    this.selection = [Math.min(from, to), Math.max(from, to)];
    this.#markSelection();
  }

  #clear() {
    this.selection = null;
    this.anchor = undefined;
    this.#markSelection();
  }

  #markSelection() {
    const [from, to] = this.selection ?? [-1, -2];
    this.cells.forEach((cell, at) => cell.setAttribute("aria-selected", String(at >= from && at <= to)));
    this.fill.disabled = !this.selection || !this.run.complete;
    this.fill.textContent = this.selection ? `Refill ${number(to - from + 1)} selected` : "Refill selection";
  }

  async #copy(button, text) {
    const words = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      const shown = element("textarea", { value: text, readOnly: true, rows: 4, className: "to-copy", aria: { label: "Text to copy" } });
      button.parentElement.after(shown);
      shown.select();
      button.textContent = "Press Ctrl+C";
      shown.addEventListener("blur", () => shown.remove(), { once: true });
    }
    setTimeout(() => (button.textContent = words), 2000);
  }

  // Draw the canvas as it was after so many passes.
  show(passes) {
    const before = this.shown;
    this.shown = this.run.at(passes);
    this.shown.cells.forEach((cell, at) => cell === before?.cells[at] || this.#draw(cell, at));
    this.#showCounters();
    this.#showAbout();
    if (this.chosen !== undefined) this.choose(this.chosen);
  }

  #draw(cell, at) {
    const node = this.cells[at];
    const text = cell.state === "rejected" ? cell.struck : cell.text;
    const fresh = cell.fresh && cell.state !== "after";
    const shown = cell.state === "end" ? "¶" : ["open", "after"].includes(cell.state) ? "\u200b·" : text.replaceAll("\n", "↵") || "∅";
    node.firstChild.textContent = shown;
    node.className = `cell ${cell.state}${fresh ? " fresh" : ""}${at === this.difference ? " differs" : ""}`;
    node.classList.toggle("break", text.includes("\n") && isFilled(cell));
    node.querySelector("s")?.remove();
    if (cell.struck && cell.state !== "rejected") node.append(element("s", { ariaHidden: "true" }, cell.struck.trim() || "␣"));
    const what = ["open", "end", "after"].includes(cell.state) ? "" : `${quoted(text)}, `;
    node.setAttribute("aria-label", `${at + 1}: ${what}${WORDS[cell.state]}`);
  }

  #showCounters() {
    const { passes, kept, drafted, cells } = this.shown;
    const { tokens, logprob } = told(cells);
    const pairs = [
      ["passes", number(passes)],
      ["tokens", number(tokens)],
      ["tokens per pass", passes ? number(tokens / passes, 2) : "–"],
      ["drafts kept", drafted ? `${number(kept)}/${number(drafted)}` : "–"],
      ["log p", number(logprob > -0.005 ? 0 : logprob, 2).replace("-", "\u2212")],
    ];
    this.counters.replaceChildren(...pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  }

  #showAbout() {
    const { about, error, complete } = this.run;
    this.error.hidden = !error;
    this.error.textContent = error?.message ?? "";
    this.copyText.disabled = !this.run.tokens;
    this.#markSelection();
    if (!about || !complete || !this.certificate.hidden) return;
    const { kind, law, reasons } = about.certificate;
    this.certificate.hidden = false;
    this.kind.textContent = KINDS[kind] ?? kind;
    this.kind.dataset.kind = kind;
    this.law.textContent = law;
    this.reasons.replaceChildren(...reasons.map((reason) => element("li", {}, reason)));
  }

  differ(at) {
    this.difference = at;
    this.cells.forEach((cell, place) => cell.classList.toggle("differs", place === at));
  }

  // Tell what is known of a position.
  async choose(at) {
    this.chosen = at;
    this.cells.forEach((cell, place) => cell.classList.toggle("chosen", place === at));
    const cell = this.shown?.cells[at];
    if (!cell) return this.#showDetail(null);
    const known = this.run.complete && isFilled(cell) && cell.state !== "after";
    this.#showDetail(cell, at, null, known ? "Asking for the five best." : "");
    if (!known) return;
    try {
      const laws = await this.run.laws();
      if (this.chosen === at && this.shown.cells[at] === cell) this.#showDetail(cell, at, laws);
    } catch (error) {
      if (this.chosen === at) this.#showDetail(cell, at, null, `The five best are not told: ${error.message}`);
    }
  }

  #showDetail(cell, at, laws = null, note = "") {
    if (!cell) {
      this.detail.replaceChildren(element("p", { className: "hint" }, "Point at a token, or move with the arrow keys, to see its probability."));
      return;
    }
    const name = cell.text && cell.state !== "end" ? quoted(cell.text) : cell.state === "rejected" ? quoted(cell.struck) : "";
    const p = isFilled(cell) && cell.state !== "after" ? `, p ${probability(cell.logprob)}` : "";
    const when = cell.pass ? ` in pass ${cell.pass}` : "";
    const lines = [element("p", {}, `Token ${at + 1} `, element("strong", {}, name), name && ", ", `${WORDS[cell.state]}${when}${p}`)];
    if (cell.struck && cell.state !== "rejected") lines.push(element("p", { className: "hint" }, `rejected: ${quoted(cell.struck)}`));
    if (laws?.top_logprobs[at]) lines.push(this.#bars(cell, laws.top_logprobs[at]));
    if (note) lines.push(element("p", { className: "hint" }, note));
    this.detail.replaceChildren(...lines);
  }

  #bars(cell, top) {
    const note = this.run.request.body.temperature ? "" : " at temperature 1";
    const rows = top.map(({ id, token, logprob }) => {
      const bar = element("span", { className: "bar" });
      bar.style.width = `${(100 * Math.exp(logprob)).toFixed(1)}%`;
      const mine = id === cell.id;
      return element(
        "li",
        { className: mine ? "mine" : "" },
        element("span", { className: "name" }, token ? quoted(token) : "end", mine ? element("span", { className: "taken" }, " taken") : null),
        element("span", { className: "track", ariaHidden: "true" }, bar),
        element("span", { className: "p" }, probability(logprob)),
      );
    });
    return element("ol", { className: "bars", aria: { label: `The five best${note}` } }, ...rows);
  }

  summary() {
    const { error, complete } = this.run;
    const name = this.run.request.name;
    if (error) return `${name}: ${error.message}`;
    return complete ? `${name}: ${number(this.run.tokens)} tokens in ${counted(this.run.passes)}.` : `${name} is at work.`;
  }
}
