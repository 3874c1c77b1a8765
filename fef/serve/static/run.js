// One answer: its request, its rounds as they come, and the law of its tokens on demand.

import { afterRound, emptyCanvas, textIds, told } from "./canvas.js";

export class Run {
  #states; // the canvas before any round, and after each
  about = null; // what the server tells at the end
  finish = null;
  error = null;
  done = false;
  #laws = null;

  // request: {name, path, body, before, after}; before, after: given text beside the canvas
  constructor(server, request) {
    this.server = server;
    this.request = request;
    this.size = request.body.max_tokens;
    this.#states = [emptyCanvas(this.size)];
  }

  async start(changed, signal) {
    try {
      for await (const event of this.server.stream(this.request.path, this.request.body, signal)) {
        this.#heard(event);
        changed();
      }
    } catch (error) {
      this.error = error.name === "AbortError" ? { message: "Stopped." } : error;
    }
    this.done = true;
    changed();
  }

  #heard(event) {
    if (event.fef?.round) this.#states.push(afterRound(this.#states.at(-1), event.fef.round));
    else if (event.fef) this.about = event.fef;
    this.finish = event.choices[0]?.finish_reason ?? this.finish;
  }

  get passes() {
    return this.last.passes;
  }

  // The canvas as it is now.
  get last() {
    return this.#states.at(-1);
  }

  // The canvas as it was after so many passes.
  at(passes) {
    return this.#states.findLast((state) => state.passes <= passes);
  }

  get tokens() {
    return told(this.last.cells).tokens;
  }

  get complete() {
    return this.done && !this.error;
  }

  // The likeliest tokens at every position of the text, from /v1/score; asked for once.
  laws() {
    this.#laws ??= this.server.post("v1/score", this.scoreBody());
    return this.#laws;
  }

  scoreBody() {
    const { prompt, messages, suffix, structured_outputs, max_tokens, temperature, top_p, top_k, seed, fef } = this.request.body;
    return {
      ...(messages ? { messages } : { prompt }),
      ...(suffix && { suffix }),
      ...(structured_outputs && { structured_outputs }),
      response_token_ids: textIds(this.last.cells),
      max_tokens,
      temperature: temperature || 1, // at 0 every law is a single token
      top_p,
      top_k,
      seed,
      top_logprobs: 5,
      fef: { method: fef.method, options: fef.options },
    };
  }
}
