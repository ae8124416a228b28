// Twelve variations of the picture, along some of the directions; a click takes one.

import { paint } from "./canvas.js";
import { el, find, signed } from "./dom.js";
import { viewOf } from "./state.js";

const COUNT = 12;
const ALONG = 3; // directions that each variation moves along

export class Children {
  #model;
  #store;
  #generation = 0;
  #grid = el("div", { class: "sheet small" });
  #spread = el("input", { type: "range", min: 0.1, max: 1, step: 0.05, value: 0.4, id: "spread" });

  constructor(model, store) {
    this.#model = model;
    this.#store = store;
    const again = el("button", { type: "button", id: "again", onclick: () => this.make() }, "Others");
    find("#children").replaceChildren(
      el("div", { class: "field" }, el("label", { for: "spread" }, "Spread"), this.#spread, again),
      this.#grid,
      el("p", { class: "quiet" }, "Along directions that are not hidden; a click takes one, and Undo goes back."),
    );
    this.#spread.onchange = () => this.make();
    find("#children-section").ontoggle = () => {
      if (find("#children-section").open) this.make();
    };
  }

  /** Draws variations of what is shown, one after the other, so that the large picture never waits for all of them. */
  async make() {
    const generation = (this.#generation += 1);
    if (!find("#children-section").open) return;
    const children = Array.from({ length: COUNT }, () => this.#child());
    const cells = children.map((edits, index) => {
      const canvas = el("canvas", { width: 64, height: 64 });
      const button = el("button", { type: "button", "aria-label": `Variation ${index + 1}: ${this.#words(edits)}`, title: this.#words(edits) }, canvas);
      button.onclick = () => {
        this.#store.set({ edits });
        this.make();
      };
      return { button, canvas };
    });
    this.#grid.replaceChildren(...cells.map(({ button }) => button));
    const base = { ...this.#store.state, pick: [this.#store.state.pick[0]] };
    for (const [index, edits] of children.entries()) {
      try {
        const drawn = await this.#model.generator.draw(this.#model.file, viewOf(base, edits), { channel: "children", side: 128 });
        if (generation !== this.#generation) return;
        paint(cells[index].canvas, drawn, 0);
      } catch {
        return;
      }
    }
  }

  #child() {
    const { directions } = this.#model.about;
    const { edits } = this.#store.state;
    const rows = directions.map((_, row) => row).filter((row) => !directions[row].hidden && !directions[row].inactive);
    for (let place = rows.length - 1; place > 0; place -= 1) {
      const other = Math.floor(Math.random() * (place + 1));
      [rows[place], rows[other]] = [rows[other], rows[place]];
    }
    let moved = edits;
    for (const row of rows.slice(0, ALONG)) {
      const [least, most] = this.#model.range(row);
      const known = moved.find((edit) => edit.row === row);
      const step = ((Math.random() + Math.random() - 1) * Number(this.#spread.value) * (most - least)) / 2;
      const amount = Number(Math.min(most, Math.max(least, (known?.amount ?? 0) + step)).toPrecision(3));
      moved = known ? moved.map((edit) => (edit === known ? { ...edit, amount } : edit)) : [...moved, { row, amount, layers: null }];
    }
    return moved;
  }

  #words(edits) {
    const now = new Map(this.#store.state.edits.map((edit) => [edit.row, edit.amount]));
    return edits
      .filter(({ row, amount }) => amount !== (now.get(row) ?? 0))
      .map(({ row, amount }) => `${this.#model.title(row)} ${signed(amount)}`)
      .join(", ");
  }
}
