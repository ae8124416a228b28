// The editor in a notebook: a widget of anywidget whose generator is in the kernel. See remote.js for the interface.

import { el, lookIn, notice } from "./dom.js";
import { Editor } from "./editor.js";
import { Model } from "./model.js";
import { fresh, Store, viewOf } from "./state.js";

class KernelGenerator extends EventTarget {
  abilities = new Set(["mark"]);
  #widget;
  #waiting = new Map();
  #own = Math.random().toString(36).slice(2); // Several views of a widget hear all answers.
  #next = 1;

  constructor(widget) {
    super();
    this.#widget = widget;
    widget.on("msg:custom", this.#hear);
  }

  close() {
    this.#widget.off("msg:custom", this.#hear);
  }

  async open() {
    return structuredClone(this.#widget.get("about"));
  }

  async draw(file, view, { draft = false, side = null } = {}) {
    const { answer, buffers } = await this.#ask({ type: "draw", view, draft, side });
    const [{ buffer, byteOffset, byteLength }] = buffers;
    return { ...answer, pixels: new Uint8Array(buffer, byteOffset, byteLength) };
  }

  async mark(file, direction, key, value) {
    const { answer } = await this.#ask({ type: "mark", direction, key, value });
    return answer;
  }

  #ask(message) {
    const id = `${this.#own}-${this.#next++}`;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#widget.send({ ...message, id });
    });
  }

  #hear = (answer, buffers) => {
    const asked = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.error) asked?.reject(new Error(answer.error));
    else asked?.resolve({ answer, buffers });
  };
}

/** Shows the editor in a shadow root, so that styles of the notebook and of the editor leave each other alone. */
export function render({ model: widget, el: place }, { page, style }) {
  const root = place.attachShadow({ mode: "open" });
  place.style.colorScheme = isDark() ? "dark" : "light";
  root.append(el("style", { textContent: style }));
  root.append(document.createRange().createContextualFragment(page));
  root.querySelector("#editor").hidden = false;
  root.querySelector("#link").hidden = true; // There is no address.
  lookIn(root);
  const generator = new KernelGenerator(widget);
  const model = new Model(generator);
  const store = new Store();
  const editor = new Editor(model, store);
  model.addEventListener("opened", () => {
    editor.build();
    const { edits, ...view } = widget.get("view");
    store.load({ ...fresh(), ...view, page: "editor", edits: edits.map(([row, amount, layers]) => ({ row, amount, layers })) });
  });
  store.addEventListener("change", ({ detail }) => model.about && editor.show(detail));
  store.addEventListener("commit", () => {
    widget.set("view", viewOf(store.state));
    widget.save_changes();
  });
  model.open(0).catch((error) => notice(error.message, { kind: "error" }));
  return () => generator.close();
}

/** Whether the notebook writes in a light colour. */
function isDark() {
  const [red, green, blue] = getComputedStyle(document.body).color.match(/[\d.]+/g).map(Number);
  return red + green + blue > 3 * 128;
}
