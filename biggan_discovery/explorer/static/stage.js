// The pictures of the editor: drawn while a slider is dragged, and at rest.

import { paint } from "./canvas.js";
import { el, find, findAll, notice } from "./dom.js";
import { Latest } from "./latest.js";
import { Lost, Overtaken } from "./remote.js";
import { viewOf } from "./state.js";

const BESIDE = 230; // pixels above and below the pictures
const CAPTION = 34; // pixels
const PHONE_SHARE = 0.38; // of the height

export class Stage {
  #model;
  #store;
  #after = new Latest((request) => this.#draw("after", request));
  #before = new Latest((request) => this.#draw("before", request));
  #cells = { before: [], after: [] };
  #held = false;

  constructor(model, store) {
    this.#model = model;
    this.#store = store;
    window.addEventListener("resize", () => {
      const sides = find("#pictures").dataset.sides?.split(",") ?? [];
      if (sides.length) this.#lay(sides);
    });
    for (const button of findAll("[data-compare]")) {
      button.onclick = () => store.set({ compare: button.dataset.compare });
    }
  }

  /** Shows the state; `draft` while it goes on changing. */
  show({ draft }) {
    const { state } = this.#store;
    const compare = this.#held ? "before" : state.compare;
    for (const button of findAll("[data-compare]")) {
      button.setAttribute("aria-pressed", String(button.dataset.compare === state.compare));
    }
    const sides = compare === "both" ? ["before", "after"] : [compare];
    if (find("#pictures").dataset.sides !== sides.join()) {
      this.#cells = { before: [], after: [] };
      find("#pictures").dataset.sides = sides.join();
    }
    if (!draft) find("#pictures").setAttribute("aria-busy", "true");
    if (sides.includes("after")) this.#ask(this.#after, { view: viewOf(state), draft });
    if (sides.includes("before") && !(draft && sides.length > 1)) this.#ask(this.#before, { view: viewOf(state, []), draft });
  }

  async #ask(latest, request) {
    await latest.ask(request);
    if (!this.#after.busy && !this.#before.busy) find("#pictures").setAttribute("aria-busy", "false");
  }

  /** Shows the samples before the edit while a key is held. */
  hold(held) {
    if (this.#held === held) return;
    this.#held = held;
    this.show({ draft: false });
  }

  async #draw(side, { view, draft }) {
    try {
      const drawn = await this.#model.generator.draw(this.#model.file, view, { channel: side, draft });
      this.#put(side, drawn);
      if (!draft) find("#facts").dataset.drawn = String(Number(find("#facts").dataset.drawn ?? 0) + 1);
    } catch (error) {
      if (!(error instanceof Lost || error instanceof Overtaken)) notice(error.message, { kind: "error" });
    }
  }

  #put(side, drawn) {
    const sides = find("#pictures").dataset.sides.split(",");
    if (!sides.includes(side)) return;
    const cells = this.#cells[side];
    if (cells.length !== drawn.numbers.length) {
      this.#cells[side] = drawn.numbers.map(() => this.#cell(side));
      this.#lay(sides);
    }
    drawn.numbers.forEach((number, index) => {
      const { canvas, caption, element } = this.#cells[side][index];
      element.classList.toggle("stale", index >= drawn.count);
      if (index < drawn.count) paint(canvas, drawn, index);
      const text = [`sample ${number}`, drawn.names[index], sides.length > 1 ? side : ""].filter(Boolean).join(" · ");
      caption.textContent = text;
      canvas.setAttribute("aria-label", `Picture of ${text}`);
    });
  }

  #cell() {
    const canvas = el("canvas", { role: "img", width: 64, height: 64 });
    const caption = el("figcaption", {});
    return { canvas, caption, element: el("figure", {}, canvas, caption) };
  }

  /** Puts pictures in their order: before and after of a sample side by side. */
  #lay(sides) {
    const count = Math.max(...sides.map((side) => this.#cells[side].length));
    const figures = [];
    for (let index = 0; index < count; index += 1) {
      for (const side of sides) if (this.#cells[side][index]) figures.push(this.#cells[side][index].element);
    }
    const pictures = find("#pictures");
    pictures.replaceChildren(...figures);
    if (!count) return;
    this.#arrange(count, sides.length);
  }

  /** As many pictures side by side as makes them largest. */
  #arrange(count, sides) {
    const pictures = find("#pictures");
    const phone = matchMedia("(max-width: 820px)").matches;
    const height = phone ? PHONE_SHARE * window.innerHeight : window.innerHeight - BESIDE;
    const layouts = Array.from({ length: count }, (_, groups) => {
      const [across, down] = [(groups + 1) * sides, Math.ceil(count / (groups + 1))];
      return { across, down, side: Math.min(pictures.clientWidth / across, height / down - CAPTION) };
    });
    const { across, down } = layouts.reduce((best, each) => (each.side > best.side ? each : best));
    pictures.style.setProperty("--across", String(across));
    pictures.style.setProperty("--down", String(down));
  }
}
