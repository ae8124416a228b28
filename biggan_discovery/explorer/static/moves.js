// The chosen directions: a slider for each, with its number, layers, name, note and range.

import { active, el, find, shown, signed } from "./dom.js";

const STEPS = 200; // of a slider from end to end

export class Moves {
  #model;
  #store;
  #rows = new Map();

  constructor(model, store) {
    this.#model = model;
    this.#store = store;
    find("#add").onchange = () => {
      const row = Number(find("#add").value);
      this.add(row);
      find("#add").value = "";
      this.focus(row);
    };
  }

  /** Adds a direction without moving along it. */
  add(row) {
    if (!this.#store.edit(row)) this.#store.move(row, {});
  }

  focus(row) {
    this.#rows.get(row)?.slider.focus();
  }

  /** Builds everything anew, for another file. */
  build() {
    this.#rows.clear();
    find("#moves").replaceChildren();
    this.refresh();
  }

  /** Shows the state, and what the file says; while a slider is dragged, only what then changes. */
  refresh({ draft = false } = {}) {
    const { edits } = this.#store.state;
    const { directions } = this.#model.about;
    const kept = new Set(edits.map((edit) => edit.row));
    for (const [row, { element }] of this.#rows) {
      if (!kept.has(row)) {
        element.remove();
        this.#rows.delete(row);
      }
    }
    for (const edit of edits) {
      if (!directions[edit.row]) continue;
      if (!this.#rows.has(edit.row)) {
        this.#rows.set(edit.row, this.#row(edit.row));
        find("#moves").append(this.#rows.get(edit.row).element);
      }
      this.#rows.get(edit.row).fill(edit, directions[edit.row]);
    }
    if (draft) return;
    const others = directions.map((_, row) => row).filter((row) => !kept.has(row) && !directions[row].hidden);
    find("#add").replaceChildren(
      el("option", { value: "" }, edits.length ? "Add another direction …" : "Choose a direction …"),
      ...others.map((row) => el("option", { value: row }, `${row} ${this.#model.title(row)}`)),
    );
  }

  #row(row) {
    const id = `move-${row}`;
    const name = el("input", { type: "text", class: "name", maxLength: 100, autocomplete: "off", "aria-label": `Name of direction ${row}` });
    const slider = el("input", { type: "range", step: "any", id, "aria-label": `Amount of direction ${row}` });
    const number = el("input", { type: "number", step: "any", "aria-label": `Amount of direction ${row} as a number`, inputMode: "text" });
    const star = el("button", { type: "button", class: "plain star", "aria-label": `Star direction ${row}` }, "★");
    const remove = el("button", { type: "button", class: "plain", "aria-label": `Remove direction ${row}` }, "✕");
    const low = el("input", { type: "number", step: "any", "aria-label": `Least recommended amount of direction ${row}` });
    const high = el("input", { type: "number", step: "any", "aria-label": `Greatest recommended amount of direction ${row}` });
    const note = el("textarea", { rows: 2, maxLength: 1000, "aria-label": `Note about direction ${row}` });
    const hint = el("span", { class: "quiet" });
    const use = el("button", { type: "button", class: "link" });
    const layers = this.#layers(row);
    const suggested = el("button", { type: "button", class: "link" });
    const more = el(
      "details",
      { class: "more" },
      el("summary", {}, "Layers, range, note"),
      layers.element,
      el("div", { class: "field" }, el("span", {}, "Recommended range"), low, el("span", { "aria-hidden": "true" }, "to"), high, use),
      el("label", { class: "field wide" }, el("span", {}, "Note"), note),
    );
    const element = el(
      "li",
      { class: "move", "data-row": row },
      el("div", { class: "move-head" }, el("span", { class: "number" }, String(row)), name, star, remove),
      el("div", { class: "move-line" }, slider, number),
      el("div", { class: "move-hints" }, hint, suggested),
      more,
    );

    const put = (text, commit) => {
      const amount = Number(text);
      if (text !== "" && Number.isFinite(amount)) this.#store.move(row, { amount: Number(amount.toPrecision(6)) }, { commit });
    };
    slider.oninput = () => put(slider.value, false);
    slider.onchange = () => put(slider.value, true);
    slider.ondblclick = () => put("0", true);
    number.oninput = () => put(number.value.replace(",", "."), false);
    number.onchange = () => put(number.value.replace(",", "."), true);
    star.onclick = () => this.#model.mark(row, "starred", !this.#model.about.directions[row].starred);
    remove.onclick = () => {
      this.#store.set({ edits: this.#store.state.edits.filter((edit) => edit.row !== row) });
      find("#add").focus();
    };
    name.onchange = () => this.#model.mark(row, "name", name.value.trim());
    name.onkeydown = (event) => {
      if (event.key === "Enter") name.blur();
      if (event.key === "Escape") name.value = this.#model.about.directions[row].name;
    };
    note.onchange = () => this.#model.mark(row, "note", note.value.trim().replace(/\s+/g, " "));
    let typing = false; // One end of a range is there, and the other is not yet.
    low.oninput = high.oninput = () => (typing = true);
    low.onchange = high.onchange = () => {
      if ((low.value === "") !== (high.value === "")) return;
      typing = false;
      this.#model.mark(row, "range", low.value === "" ? null : [Number(low.value), Number(high.value)]);
    };

    const fill = (edit, direction) => {
      const [least, most] = this.#model.range(row);
      slider.min = Math.min(least, 0);
      slider.max = Math.max(most, 0);
      slider.step = (slider.max - slider.min) / STEPS;
      if (active() !== slider || Number(slider.value) !== edit.amount) slider.value = edit.amount;
      slider.setAttribute("aria-valuetext", shown(edit.amount));
      if (active() !== number || Number(number.value) !== edit.amount) number.value = shown(edit.amount);
      if (active() !== name) name.value = direction.name;
      if (active() !== note) note.value = direction.note;
      const suggestion = this.#model.about.suggestions[row];
      name.placeholder = suggestion ? `${suggestion}?` : "Name it";
      suggested.hidden = !suggestion || Boolean(direction.name) || Boolean(this.#model.about.locked);
      suggested.textContent = suggestion ? `Use the suggested name “${suggestion}”` : "";
      suggested.onclick = () => this.#model.mark(row, "name", suggestion);
      star.setAttribute("aria-pressed", String(direction.starred));
      star.textContent = direction.starred ? "★" : "☆";
      if (!typing) [low.value, high.value] = direction.range ?? ["", ""];
      const ends = this.#model.suggestedRange(row);
      use.hidden = !ends || Boolean(this.#model.about.locked);
      use.textContent = ends ? `use ${signed(ends[0])} to ${signed(ends[1])}` : "";
      use.onclick = () => this.#model.mark(row, "range", ends);
      const beyond = edit.amount < least - 1e-9 || edit.amount > most + 1e-9;
      const kind = direction.range ? "recommended" : "searched";
      hint.textContent = beyond ? `beyond the ${kind} range, ${signed(least)} to ${signed(most)}` : "";
      hint.classList.toggle("warn", beyond);
      for (const each of [name, note, star, low, high]) each.disabled = Boolean(this.#model.about.locked);
      layers.fill(edit, direction);
    };
    return { element, slider, fill };
  }

  /** Choice of the layers that a direction reaches; nothing for networks with one. */
  #layers(row) {
    const { layers: count, layer_words: words } = this.#model.about.generator;
    if (count === 1) return { element: null, fill() {} };
    const choice = el("select", { "aria-label": `Layers that direction ${row} reaches` });
    const own = el("option", { value: "" });
    choice.append(own, ...["all", ...words].map((word) => el("option", { value: word }, word)), el("option", { value: "range" }, "from … to"));
    const of = (label) => el("input", { type: "number", min: 0, max: count - 1, step: 1, "aria-label": `${label} layer for direction ${row}` });
    const [first, last] = [of("First"), of("Last")];
    const between = el("span", { class: "between" }, first, el("span", { "aria-hidden": "true" }, "–"), last);
    const send = () => {
      let layers = choice.value || null;
      if (layers === "range") {
        const [from, to] = [Number(first.value || 0), Number(last.value || count - 1)].sort((a, b) => a - b);
        layers = `${Math.max(0, from)}-${Math.min(count - 1, to)}`;
      }
      this.#store.move(row, { layers });
    };
    choice.onchange = first.onchange = last.onchange = send;
    const fill = (edit, direction) => {
      own.textContent = `as found (${direction.layers})`;
      const range = /^(\d+)(?:-(\d+))?$/.exec(edit.layers ?? "");
      choice.value = range ? "range" : (edit.layers ?? "");
      between.hidden = !range;
      if (range) [first.value, last.value] = [range[1], range[2] ?? range[1]];
    };
    return { element: el("div", { class: "field" }, el("span", {}, "Layers"), choice, between), fill };
  }
}
