// Which samples are shown: seed, numbers, truncation, or latents from a file.

import { paint } from "./canvas.js";
import { el, find, notice } from "./dom.js";
import { dialog } from "./dialog.js";
import { viewOf } from "./state.js";

const LARGEST_SEED = 10 ** 15 - 1;
const SHEET = 24;
const MOST = 16; // samples side by side

export class Samples {
  #model;
  #store;
  #fields = {};

  constructor(model, store) {
    this.#model = model;
    this.#store = store;
    const seed = el("input", { type: "number", min: 0, max: LARGEST_SEED, step: 1, id: "seed" });
    const another = el("button", { type: "button", id: "new-seed", onclick: () => this.another() }, "New");
    const count = el("input", { type: "number", min: 1, max: MOST, step: 1, id: "count" });
    const choose = el("button", { type: "button", id: "choose", onclick: () => this.#sheet() }, "Choose …");
    const truncation = el("input", { type: "range", min: 0.05, max: 1, step: 0.05, id: "truncation" });
    const value = el("output", { for: "truncation", id: "truncation-value" });
    const file = el("input", { type: "file", id: "latents", class: "hidden-visually" });
    const drop = el("label", { class: "drop", for: "latents" }, file, el("span", {}, "Drop latents here, or choose a file"));
    const away = el("button", { type: "button", class: "link", id: "no-latents", onclick: () => store.set({ latents: "", pick: [0] }) }, "use the seed again");
    this.#fields = { seed, another, count, truncation, value, file, drop, away };
    seed.onchange = () => {
      const number = Number(seed.value);
      if (seed.value !== "" && Number.isInteger(number) && number >= 0 && number <= Number(seed.max)) store.set({ seed: number });
      else this.refresh();
    };
    count.onchange = () => {
      const wanted = Math.max(1, Math.min(MOST, Math.round(Number(count.value) || 1)));
      store.set({ pick: Array.from({ length: wanted }, (_, index) => store.state.pick[index] ?? this.#free(index)) });
    };
    truncation.oninput = () => (value.textContent = truncation.value);
    truncation.onchange = () => {
      const number = Number(truncation.value);
      store.set({ truncation: number === model.about.generator.truncation ? null : number });
    };
    file.onchange = () => this.#take(file.files[0]);
    find("#samples").replaceChildren(
      el("div", { class: "field" }, el("label", { for: "seed" }, "Seed"), seed, another),
      el("div", { class: "field" }, el("label", { for: "count" }, "Side by side"), count, choose),
      el("div", { class: "field" }, el("label", { for: "truncation" }, "Truncation"), truncation, value),
      drop,
      away,
    );
    if (model.generator.abilities.has("latents")) this.#dropping();
  }

  /** Other samples, by a seed nobody chose. */
  another() {
    const seeds = this.#model.about.latents?.seeds ?? 1e6; // A static demo brings the latents of some.
    this.#store.set({ seed: Math.floor(Math.random() * seeds), latents: "" });
  }

  refresh() {
    const { state } = this.#store;
    const { seed, another, count, truncation, value, drop, away } = this.#fields;
    seed.value = state.seed;
    seed.max = (this.#model.about.latents?.seeds ?? LARGEST_SEED + 1) - 1;
    truncation.closest(".field").hidden = !this.#model.generator.abilities.has("truncation");
    seed.disabled = another.disabled = Boolean(state.latents);
    count.value = state.pick.length;
    const shown = state.truncation ?? this.#model.about.generator.truncation;
    truncation.value = shown;
    value.textContent = String(Math.round(shown * 100) / 100);
    drop.hidden = !this.#model.generator.abilities.has("latents");
    drop.querySelector("span").textContent = state.latents ? "Latents from a file are shown; drop others here" : "Drop latents here, or choose a file";
    away.hidden = !state.latents;
  }

  /** A number that is not shown yet. */
  #free(index) {
    const { pick } = this.#store.state;
    let number = index;
    while (pick.includes(number)) number += 1;
    return number;
  }

  #dropping() {
    const target = document.body;
    const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    target.addEventListener("dragover", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      target.classList.add("dropping");
    });
    for (const end of ["dragleave", "drop"]) target.addEventListener(end, () => target.classList.remove("dropping"));
    target.addEventListener("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      this.#take(event.dataTransfer.files[0]);
    });
  }

  async #take(file) {
    if (!file) return;
    try {
      const { latents, count } = await this.#model.generator.latents(this.#model.file, file);
      const pick = Array.from({ length: Math.min(count, MOST) }, (_, index) => index);
      this.#store.set({ latents, pick, page: "editor" });
      notice(`${count} ${count === 1 ? "latent" : "latents"} from ${file.name}`);
    } catch (error) {
      notice(error.message, { kind: "error" });
    }
    this.#fields.file.value = "";
  }

  /** A sheet of samples to choose from. */
  async #sheet() {
    const { state } = this.#store;
    const chosen = new Set(state.pick);
    const grid = el("div", { class: "sheet" });
    const use = el("button", { type: "button", class: "main", id: "use-samples" }, "Show these");
    const box = dialog("Choose samples", [grid, el("div", { class: "tools" }, el("p", { class: "quiet grow" }, `Seed ${state.seed}. Up to ${MOST} side by side.`), use)]);
    use.onclick = () => {
      if (chosen.size) this.#store.set({ pick: [...chosen].sort((a, b) => a - b).slice(0, MOST) });
      box.close();
    };
    const view = { ...viewOf(state, []), pick: Array.from({ length: SHEET }, (_, index) => index) };
    try {
      const drawn = await this.#model.generator.draw(this.#model.file, view, { channel: "sheet", side: 128 });
      grid.replaceChildren(
        ...drawn.numbers.map((number, index) => {
          const canvas = el("canvas", {});
          paint(canvas, drawn, index);
          const cell = el("button", { type: "button", "aria-pressed": String(chosen.has(number)), "aria-label": `Sample ${number} ${drawn.names[index]}` }, canvas, el("span", {}, String(number)));
          cell.onclick = () => {
            if (!chosen.delete(number)) chosen.add(number);
            cell.setAttribute("aria-pressed", String(chosen.has(number)));
          };
          return cell;
        }),
      );
    } catch (error) {
      grid.textContent = error.message;
    }
  }
}
