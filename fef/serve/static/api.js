// The server, by its public API.

export class ApiError extends Error {
  constructor(status, message, param) {
    super(message);
    this.status = status;
    this.param = param;
  }
}

export class Server {
  key = ""; // in memory only

  headers() {
    return { "content-type": "application/json", ...(this.key && { authorization: `Bearer ${this.key}` }) };
  }

  async get(path) {
    return (await this.fetched(path, {})).json();
  }

  async post(path, body, signal) {
    return (await this.fetched(path, { method: "POST", body: JSON.stringify(body), signal })).json();
  }

  // Server-sent events as they come; EventSource cannot post.
  async *stream(path, body, signal) {
    const answer = await this.fetched(path, { method: "POST", body: JSON.stringify(body), signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
        const event = JSON.parse(line.slice(6));
        if (event.error) throw new ApiError(event.error.code, event.error.message, event.error.param);
        yield event;
      }
    }
  }

  async fetched(path, options) {
    let answer;
    try {
      answer = await fetch(path, { headers: this.headers(), ...options });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "The server cannot be reached.");
    }
    if (answer.ok) return answer;
    const { error } = await answer.json().catch(() => ({ error: null }));
    throw new ApiError(answer.status, error?.message ?? `The server answered ${answer.status}.`, error?.param);
  }
}
