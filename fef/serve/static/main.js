// The page: reads the form, asks, and keeps the panels and the timeline in step.

import { ApiError, Server } from "./api.js";
import { textIds, textOf } from "./canvas.js";
import { verdict } from "./compare.js";
import { byId, element } from "./dom.js";
import { grammarOf } from "./example.js";
import { Panel } from "./panel.js";
import { Run } from "./run.js";

const server = new Server();
const exact = new Set(["chain", "greedy"]);
let methods = new Map();
let panels = [];
let stopping = null;
let playing = null;
let following = null;
let kept = null; // {ids, text}: the prompt and the part of an answer that stays before a gap in it

// --- what the server has ---

async function begin() {
  try {
    const [models, table, tokenizer] = await Promise.all(["v1/models", "v1/methods", "tokenizer_info"].map((path) => server.get(path)));
    byId("key-field").hidden = !server.key;
    byId("model").textContent = models.data[0].id;
    byId("canvas").max = models.data[0].max_model_len;
    methods = new Map(table.data.map((method) => [method.name, method]));
    const options = (select, chosen) => select.append(...table.data.map(({ name }) => element("option", { value: name, selected: name === chosen }, name)));
    if (!byId("method").options.length) {
      options(byId("method"), "fef");
      options(byId("other"), null);
    }
    byId("mode-field").hidden = !tokenizer.chat_template;
    byId("mode").value = tokenizer.chat_template ? "chat" : "text";
    say("Nothing asked yet.");
    methodChanged();
  } catch (error) {
    failed(error);
  }
}

function failed(error) {
  if (error instanceof ApiError && error.status === 401) {
    byId("key-field").hidden = false;
    byId("key").focus();
    say("This server asks for an API key.");
  } else say(error.message);
}

const say = (words) => (byId("status").textContent = words);

// --- the form ---

function methodChanged() {
  const names = [byId("method").value, byId("other").value];
  const words = methods.get(names[0])?.summary ?? "";
  byId("method-hint").textContent = words && `${words[0].toUpperCase()}${words.slice(1)}.`;
  const both = names.every((name) => methods.get(name)?.options.verify !== undefined);
  if (byId("verify-field").hidden && both) byId("verify").value = "rows";
  byId("verify-field").hidden = !both;
}

function readOptions(id) {
  const text = byId(id).value.trim();
  if (!text) return {};
  try {
    return JSON.parse(text);
  } catch {
    byId("more").open = true;
    byId(id).focus();
    throw new Error(`${byId(id).labels[0].textContent}: this is no JSON.`);
  }
}

function requestOf(name, options) {
  const conversation = byId("mode").value === "chat" && !kept && byId("suffix-field").hidden;
  const after = byId("suffix-field").hidden ? "" : byId("suffix").value;
  const verify = byId("verify-field").hidden || !byId("verify").value ? {} : { verify: byId("verify").value };
  const grammar = grammarOf(byId("example").value);
  const size = byId("canvas").valueAsNumber;
  return {
    name,
    before: kept?.text ?? "",
    after,
    path: conversation ? "v1/chat/completions" : "v1/completions",
    body: {
      ...(conversation ? { messages: [{ role: "user", content: byId("prompt").value }] } : { prompt: kept?.ids ?? byId("prompt").value }),
      ...(after && { suffix: after }),
      max_tokens: size,
      temperature: byId("temperature").valueAsNumber,
      top_p: byId("top-p").valueAsNumber,
      top_k: byId("top-k").valueAsNumber,
      seed: byId("seed").valueAsNumber,
      stream: true,
      ...(grammar && { structured_outputs: grammar }),
      fef: { method: name, options: { ...verify, ...options }, stream: "canvas" },
    },
  };
}

function requests() {
  const [name, other] = [byId("method").value, byId("other").value];
  const found = [requestOf(name, readOptions("options"))];
  if (other) found.push(requestOf(other, readOptions("other-options")));
  if (name === other) found.forEach((request, i) => (request.name = `${name} ${"AB"[i]}`));
  return found;
}

// --- asking ---

async function ask() {
  if (!byId("keep-seed").checked) byId("seed").value = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
  let wanted;
  try {
    wanted = requests();
  } catch (error) {
    return say(error.message);
  }
  stopping?.abort();
  pause();
  stopping = new AbortController();
  const mine = stopping;
  panels = wanted.map((request) => new Panel(new Run(server, request), { chosen: chooseAll, fill: fillAgain }));
  byId("panels").replaceChildren(...panels.map((panel) => panel.root));
  byId("panels").classList.toggle("two", panels.length > 1);
  byId("legend").hidden = byId("timeline").hidden = false;
  byId("verdict").hidden = true;
  busy(true);
  panels.forEach((panel) => panel.show(Infinity));
  say(panels.map((panel) => panel.summary()).join(" "));
  showAnswers();
  await Promise.all(panels.map((panel) => panel.run.start(soon, mine.signal)));
  if (stopping !== mine) return;
  follow();
  busy(false);
  finished();
}

// On narrow windows the answers stand below the form.
function showAnswers() {
  if (byId("answers").getBoundingClientRect().top < innerHeight / 2) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  byId("answers").scrollIntoView({ behavior: calm ? "auto" : "smooth" });
}

function busy(yes) {
  byId("stop").disabled = !yes;
  byId("panels").setAttribute("aria-busy", String(yes));
}

// Many rounds may come between two frames.
function soon() {
  following ??= requestAnimationFrame(follow);
}

function follow() {
  cancelAnimationFrame(following);
  following = null;

  const last = Math.max(...panels.map((panel) => panel.run.passes));
  byId("moment").max = last;
  byId("moment").value = last;
  moveTo(Infinity);
}

function finished() {
  say(panels.map((panel) => panel.summary()).join(" "));
  const refused = panels.find((panel) => panel.run.error);
  if (refused) return explain(refused.run.error);
  if (panels.length < 2) return;
  const [one, other] = panels.map(({ run }) => {
    const { cells } = run.last;
    const { kind, law } = run.about.certificate;
    return { name: run.request.name, ids: textIds(cells), cells, law, exact: exact.has(kind) };
  });
  const found = verdict(one, other);
  panels.forEach((panel) => panel.differ(found.at));
  byId("verdict").hidden = false;
  byId("verdict").className = `verdict ${found.same ? "same" : "other"}`;
  byId("verdict").replaceChildren(element("strong", {}, found.title), " ", found.words);
}

function explain(error) {
  if (error.status === 401) return failed(error);
  const grammar = byId("example").value.trim() && /structured_outputs|grammar|schema|regex/.test(`${error.param} ${error.message}`);
  if (!grammar) return;
  const retry = element("button", { type: "button" }, "Ask without the grammar");
  retry.addEventListener("click", () => {
    byId("example").value = "";
    showGrammar();
    ask();
  });
  byId("verdict").hidden = false;
  byId("verdict").className = "verdict other";
  byId("verdict").replaceChildren(element("strong", {}, "No grammar here"), " This server did not take the grammar of the example with this method. ", retry);
}

// --- moving through the passes ---

function moveTo(passes) {
  const shown = Number.isFinite(passes) ? passes : Number(byId("moment").max);
  byId("moment-label").textContent = `${shown} of ${byId("moment").max}`;
  panels.forEach((panel) => panel.show(passes));
}

function pause() {
  clearInterval(playing);
  playing = null;
  byId("play").textContent = "Replay";
}

function play() {
  if (playing !== null) return pause();
  const slider = byId("moment");
  const last = Number(slider.max);
  if (Number(slider.value) >= last) slider.value = 0;
  byId("play").textContent = "Pause";
  const step = () => {
    moveTo(Number(slider.value));
    if (Number(slider.value) >= last) return pause();
    slider.value = Number(slider.value) + 1;
  };
  step();
  playing = setInterval(step, Math.min(600, Math.max(120, 9000 / Math.max(1, last))));
}

const chooseAll = (at) => at >= 0 && panels.forEach((panel) => panel.choose(at));

// --- infilling ---

async function fillAgain(panel, from, to) {
  const { cells } = panel.run.last;
  const ids = textIds(cells);
  const { prompt, messages } = panel.run.request.body;
  try {
    const begun = Array.isArray(prompt) ? prompt : (await server.post("tokenize", { ...(messages ? { messages } : { prompt }), add_special_tokens: true })).tokens;
    kept = { ids: [...begun, ...ids.slice(0, from)], text: panel.run.request.before + textOf(cells, 0, from) };
  } catch (error) {
    return failed(error);
  }
  byId("prompt-hint").textContent = "The beginning of the answer is kept behind it. Change the prompt to begin anew.";
  openSuffix(textOf(cells, to + 1) + panel.run.request.after);
  byId("canvas").value = to - from + 1;
  await ask();
  byId("answers").focus();
}

function forget() {
  kept = null;
  byId("prompt-hint").textContent = "Ctrl+Enter asks. Select a part to have it filled in again.";
}

function openSuffix(text) {
  byId("suffix").value = text;
  byId("suffix-field").hidden = !text;
}

async function makeGap() {
  const prompt = byId("prompt");
  const { selectionStart: from, selectionEnd: to, value } = prompt;
  const gap = value.slice(from, to);
  openSuffix(value.slice(to) + (byId("suffix-field").hidden ? "" : byId("suffix").value));
  prompt.value = value.slice(0, from);
  forget();
  try {
    byId("canvas").value = (await server.post("tokenize", { prompt: gap, add_special_tokens: false })).count;
    say(`The gap holds ${byId("canvas").value} tokens; its canvas can be changed.`);
  } catch (error) {
    failed(error);
  }
  byId("suffix").focus();
}

function showGrammar() {
  const grammar = grammarOf(byId("example").value);
  byId("derived").hidden = !grammar;
  byId("derived").textContent = grammar ? JSON.stringify(grammar, null, 1) : "";
}

// --- events ---

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
byId("ask").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
});
byId("key").addEventListener("change", () => {
  server.key = byId("key").value;
  begin();
});
byId("stop").addEventListener("click", () => stopping?.abort());
byId("method").addEventListener("change", methodChanged);
byId("other").addEventListener("change", methodChanged);
byId("prompt").addEventListener("input", forget);
document.addEventListener("selectionchange", () => {
  const { selectionStart, selectionEnd } = byId("prompt");
  byId("make-gap").disabled = selectionStart === selectionEnd;
});
byId("make-gap").addEventListener("click", makeGap);
byId("drop-suffix").addEventListener("click", () => {
  openSuffix("");
  forget();
  byId("prompt").focus();
});
byId("example").addEventListener("input", showGrammar);
byId("moment").addEventListener("input", () => {
  pause();
  moveTo(Number(byId("moment").value));
});
byId("play").addEventListener("click", play);
begin();
