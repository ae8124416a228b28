// A generator on the server. The page knows a generator by this interface only, so that one in the browser can take its place:
//
//   abilities        a Set of "mark", "copy", "export", "latents", "truncation": what it can do beside drawing
//   files            [{label, path}]
//   open(file)       → Promise of {generator, directions, ranges, metrics, suggestions, locked, ...}
//   draw(file, view, {channel, draft, side})
//                    → Promise of {pixels: Uint8Array (count, height, width, 3), count, height, width, numbers, names}
//   strips(file, rows)  makes "strip" events {direction, name, frames, samples, ends, equal}, the first rows first
//                    and then "suggested" events {file, direction, name}, for directions that clearly make a simple edit
//   addEventListener "strip", "suggested", "marks", "lost", "back"
//
// A view is {seed, pick, classes: [[index, weight]], truncation, latents, edits: [[direction, amount, layers]]}.

const LONGEST_WAIT = 3000; // milliseconds between attempts to connect

export class RemoteGenerator extends EventTarget {
  abilities = new Set(["mark", "copy", "export", "latents", "truncation"]);
  files = [];
  #socket = null;
  #waiting = new Map();
  #next = 1;
  #wait = 250;

  /** Connects, and again whenever the connection is lost; resolves at the first time. */
  connect() {
    return new Promise((resolve) => this.#attempt(resolve));
  }

  get connected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  open(file) {
    return this.#ask({ type: "open", file });
  }

  draw(file, view, { channel = "main", draft = false, side = null } = {}) {
    return this.#ask({ type: "draw", file, view, channel, draft, side });
  }

  strips(file, rows) {
    this.#send({ type: "strips", file, rows });
  }

  /** → {done, now}: whether it was changed, and what the file says now. */
  mark(file, direction, key, value, was) {
    return this.#ask({ type: "mark", file, direction, key, value, was });
  }

  copy(file) {
    return this.#ask({ type: "copy", file });
  }

  command(file, view, request) {
    return this.#ask({ type: "command", file, view, ...request });
  }

  /** → {result: Promise of {address, size, command}, cancel()}. */
  export(file, view, request, progress) {
    const id = this.#next;
    const result = this.#ask({ type: "export", file, view, ...request }, progress);
    return { result, cancel: () => this.#send({ type: "cancel", export: id }) };
  }

  /** → {latents, count}. */
  async latents(file, content) {
    const response = await fetch(`latents/${file}?name=${encodeURIComponent(content.name)}`, { method: "POST", body: content });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.text);
    return answer;
  }

  #attempt(ready) {
    const address = new URL("socket", document.baseURI);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.hash = "";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => (typeof event.data === "string" ? this.#hear(JSON.parse(event.data)) : this.#see(event.data));
    socket.onopen = async () => {
      this.#socket = socket;
      this.#wait = 250;
      this.files = (await this.#ask({ type: "files" })).files;
      if (ready) ready();
      else this.dispatchEvent(new Event("back"));
      ready = null;
    };
    socket.onclose = () => {
      const first = this.#socket === socket;
      this.#socket = null;
      for (const { reject } of this.#waiting.values()) reject(new Lost());
      this.#waiting.clear();
      if (first || ready) this.dispatchEvent(new Event("lost"));
      setTimeout(() => this.#attempt(ready), this.#wait);
      this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT);
    };
  }

  #send(message) {
    if (!this.connected) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #ask(message, progress = null) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, progress });
      if (!this.#send({ ...message, id })) {
        this.#waiting.delete(id);
        reject(new Lost());
      }
    });
  }

  #hear(message) {
    const asked = this.#waiting.get(message.id);
    if (message.type === "exporting") {
      asked?.progress?.(message.done);
    } else if (asked) {
      this.#waiting.delete(message.id);
      if (message.type === "error") asked.reject(new Error(message.text));
      else if (message.type === "overtaken" || message.type === "cancelled") asked.reject(new Overtaken());
      else asked.resolve(message);
    } else {
      this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
    }
  }

  #see(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const asked = this.#waiting.get(head.id);
    this.#waiting.delete(head.id);
    asked?.resolve({ ...head, pixels: new Uint8Array(buffer, 4 + length) });
  }
}

/** The connection is lost; whoever asked asks again when it is back. */
export class Lost extends Error {}

/** A newer request took the place of this one. */
export class Overtaken extends Error {}
