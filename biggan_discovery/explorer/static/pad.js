// Two directions at once on a square.

import { el, find, shown } from "./dom.js";

const STEP = 1 / 40; // of the range, for an arrow key

export class Pad {
  #model;
  #store;
  #choices;
  #square;
  #handle;

  constructor(model, store) {
    this.#model = model;
    this.#store = store;
    this.#choices = ["Across", "Up"].map((label, place) => {
      const choice = el("select", { "aria-label": `Direction ${label.toLowerCase()}`, "data-place": place });
      choice.onchange = () => this.#choose();
      return choice;
    });
    this.#handle = el("div", { class: "handle", role: "slider", tabIndex: 0, "aria-label": "Position on the pad" });
    this.#square = el("div", { class: "square" }, this.#handle);
    find("#pad").replaceChildren(
      el("div", { class: "field" }, el("span", {}, "Across"), this.#choices[0]),
      el("div", { class: "field" }, el("span", {}, "Up"), this.#choices[1]),
      this.#square,
    );
    this.#square.onpointerdown = (event) => this.#drag(event);
    this.#handle.onkeydown = (event) => this.#key(event);
    find("#pad-section").ontoggle = () => {
      if (find("#pad-section").open && !store.state.pad) this.#start();
    };
  }

  refresh({ draft = false } = {}) {
    const { pad } = this.#store.state;
    const { directions } = this.#model.about;
    if (!draft) this.#offer();
    if (!pad || !directions[pad[0]] || !directions[pad[1]]) {
      this.#handle.hidden = true;
      return;
    }
    this.#handle.hidden = false;
    const amounts = this.#amounts();
    pad.forEach((row, axis) => {
      const [least, most] = this.#model.range(row);
      const share = Math.min(1, Math.max(0, (amounts[axis] - least) / (most - least)));
      this.#handle.style[axis ? "bottom" : "left"] = `${100 * share}%`;
    });
    const [least, most] = this.#model.range(pad[0]);
    this.#handle.setAttribute("aria-valuemin", String(least));
    this.#handle.setAttribute("aria-valuemax", String(most));
    this.#handle.setAttribute("aria-valuenow", String(amounts[0]));
    const text = pad.map((row, axis) => `${this.#model.title(row)} ${shown(amounts[axis])}`).join(", ");
    this.#handle.setAttribute("aria-valuetext", text);
  }

  #offer() {
    const { pad } = this.#store.state;
    const { directions } = this.#model.about;
    this.#choices.forEach((choice, place) => {
      const options = directions
        .map((direction, row) => ({ direction, row }))
        .filter(({ direction, row }) => !direction.hidden || pad?.includes(row))
        .map(({ row }) => el("option", { value: row }, `${row} ${this.#model.title(row)}`));
      choice.replaceChildren(el("option", { value: "" }, "Choose …"), ...options);
      choice.value = pad ? String(pad[place]) : "";
    });
  }

  #amounts() {
    return this.#store.state.pad.map((row) => this.#store.edit(row)?.amount ?? 0);
  }

  /** Takes the first two directions that are in use, or that there are. */
  #start() {
    const used = this.#store.state.edits.map((edit) => edit.row);
    const others = this.#model.about.directions.map((_, row) => row).filter((row) => !used.includes(row));
    const pad = [...used, ...others].slice(0, 2);
    if (pad.length === 2) this.#store.set({ pad });
  }

  #choose() {
    const [across, up] = this.#choices.map((choice) => choice.value);
    if (across !== "" && up !== "" && across !== up) this.#store.set({ pad: [Number(across), Number(up)] });
    else this.refresh();
  }

  #put(amounts, commit) {
    const { pad, edits } = this.#store.state;
    let moved = edits;
    pad.forEach((row, axis) => {
      const amount = Number(amounts[axis].toPrecision(4));
      moved = moved.some((edit) => edit.row === row)
        ? moved.map((edit) => (edit.row === row ? { ...edit, amount } : edit))
        : [...moved, { row, amount, layers: null }];
    });
    this.#store.set({ edits: moved }, { commit });
  }

  #drag(down) {
    if (!this.#store.state.pad || down.button) return;
    down.preventDefault();
    this.#handle.focus();
    const place = (event) => {
      const { left, bottom, width, height } = this.#square.getBoundingClientRect();
      const shares = [(event.clientX - left) / width, (bottom - event.clientY) / height];
      return this.#store.state.pad.map((row, axis) => {
        const [least, most] = this.#model.range(row);
        return least + Math.min(1, Math.max(0, shares[axis])) * (most - least);
      });
    };
    this.#square.setPointerCapture(down.pointerId);
    this.#put(place(down), false);
    this.#square.onpointermove = (event) => this.#put(place(event), false);
    this.#square.onpointerup = this.#square.onpointercancel = (event) => {
      this.#square.onpointermove = this.#square.onpointerup = this.#square.onpointercancel = null;
      this.#put(place(event), true);
    };
  }

  #key(event) {
    const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const way = ways[event.key];
    if (!way || !this.#store.state.pad) return;
    event.preventDefault();
    const amounts = this.#amounts().map((amount, axis) => {
      const [least, most] = this.#model.range(this.#store.state.pad[axis]);
      return Math.min(most, Math.max(least, amount + way[axis] * STEP * (most - least)));
    });
    this.#put(amounts, true);
  }
}
