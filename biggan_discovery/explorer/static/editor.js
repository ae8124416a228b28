// The editor: pictures, and what moves them.

import { Children } from "./children.js";
import { Classes } from "./classes.js";
import { find, signed } from "./dom.js";
import { exporting, savePictures } from "./exporting.js";
import { Moves } from "./moves.js";
import { Pad } from "./pad.js";
import { Samples } from "./samples.js";
import { Stage } from "./stage.js";

export class Editor {
  #model;
  #store;
  #moves;
  #samples;
  #classes;
  #pad;
  #stage;

  constructor(model, store) {
    this.#model = model;
    this.#store = store;
    this.#stage = new Stage(model, store);
    this.#moves = new Moves(model, store);
    this.#samples = new Samples(model, store);
    this.#classes = new Classes(model, store);
    this.#pad = new Pad(model, store);
    new Children(model, store);
    find("#undo").onclick = store.undo;
    find("#redo").onclick = store.redo;
    find("#reset").onclick = this.reset;
    find("#export").onclick = this.save;
    if (!this.#canExport) find("#export").textContent = "Save picture";
    store.addEventListener("commit", () => {
      find("#undo").disabled = !store.steps.undo;
      find("#redo").disabled = !store.steps.redo;
    });
    model.addEventListener("measured", () => this.#moves.refresh());
    model.addEventListener("marks", () => {
      this.#moves.refresh();
      this.#pad.refresh();
    });
  }

  /** Builds everything anew, for another file. */
  build() {
    this.#moves.build();
  }

  /** Shows the state; `draft` while it goes on changing. Pictures are drawn only where they are seen. */
  show({ draft = false, seen = true } = {}) {
    const { state } = this.#store;
    this.#moves.refresh({ draft });
    this.#pad.refresh({ draft });
    if (!draft) {
      this.#samples.refresh();
      this.#classes.refresh();
    }
    if (seen) this.#stage.show({ draft });
    const moved = state.edits.filter((edit) => edit.amount);
    const words = moved.map(({ row, amount, layers }) => `${this.#model.title(row)} ${signed(amount)}${layers ? ` (layers ${layers})` : ""}`);
    find("#facts").textContent = words.join(" · ") || "Nothing is moved yet.";
    find("#reset").disabled = !state.edits.length;
  }

  focus(row) {
    this.#moves.focus(row);
  }

  /** Shows the samples before the edit while a key is held. */
  hold(held) {
    this.#stage.hold(held);
  }

  /** Other samples, by a seed nobody chose. */
  another() {
    this.#samples.another();
  }

  reset = () => {
    this.#store.set({ edits: this.#store.state.edits.map((edit) => ({ ...edit, amount: 0, layers: null })) });
  };

  save = () => (this.#canExport ? exporting(this.#model, this.#store) : savePictures());

  get #canExport() {
    return this.#model.generator.abilities.has("export");
  }
}
