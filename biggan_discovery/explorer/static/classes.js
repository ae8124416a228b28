// The class of the samples: that of the directions, another one, or a mix.

import { active, el, find } from "./dom.js";

const MOST_FOUND = 40;
const MOST_MIXED = 6;
let lists = 0;

export class Classes {
  #model;
  #store;

  constructor(model, store) {
    this.#model = model;
    this.#store = store;
  }

  refresh() {
    const { classes } = this.#model.about.generator;
    find("#classes-section").hidden = !classes.length;
    if (!classes.length || find("#classes").contains(active())) {
      if (classes.length) this.#update();
      return;
    }
    const mixed = this.#store.state.classes;
    const rows = mixed.map(([index], place) => this.#weight(index, place));
    find("#classes").replaceChildren(
      el("p", { class: "quiet" }, mixed.length ? "" : `Those of the search, in turn: ${this.#model.about.classes}`),
      ...rows,
      this.#search(),
      mixed.length ? el("button", { type: "button", class: "link", id: "own-classes", onclick: () => this.#set([]) }, "as in the search") : "",
    );
    this.#update();
  }

  #set(classes, options) {
    this.#store.set({ classes }, options);
    if (options?.commit === false) return;
    active()?.blur();
    this.refresh();
  }

  #weight(index, place) {
    const name = this.#model.about.generator.classes[index]?.name ?? String(index);
    const slider = el("input", { type: "range", min: 0, max: 1, step: 0.01, "aria-label": `Weight of ${name}`, "data-place": place });
    const value = el("output", {});
    const remove = el("button", { type: "button", class: "plain", "aria-label": `Remove ${name}`, onclick: () => this.#set(this.#store.state.classes.filter((_, other) => other !== place)) }, "✕");
    const put = (commit) => {
      const classes = this.#store.state.classes.map((pair, other) => (other === place ? [index, Math.max(0.01, Number(slider.value))] : pair));
      this.#store.set({ classes }, { commit });
      this.#update();
    };
    slider.oninput = () => put(false);
    slider.onchange = () => put(true);
    const alone = this.#store.state.classes.length === 1;
    return el("div", { class: "mix" }, el("span", { class: "name" }, name), alone ? "" : slider, alone ? "" : value, remove);
  }

  /** Shares in percent. */
  #update() {
    const mixed = this.#store.state.classes;
    const total = mixed.reduce((sum, [, weight]) => sum + weight, 0);
    for (const slider of find("#classes").querySelectorAll("input[type=range]")) {
      const pair = mixed[Number(slider.dataset.place)];
      if (!pair) continue;
      if (active() !== slider) slider.value = pair[1];
      const share = `${Math.round((100 * pair[1]) / total)} %`;
      slider.setAttribute("aria-valuetext", share);
      slider.nextSibling.textContent = share;
    }
  }

  /** A field that finds classes by any of their names. */
  #search() {
    const { classes } = this.#model.about.generator;
    const mixed = this.#store.state.classes;
    const id = `classes-${(lists += 1)}`;
    const list = el("ul", { id, role: "listbox", class: "found", hidden: true, "aria-label": "Classes found" });
    const field = el("input", {
      type: "search",
      role: "combobox",
      autocomplete: "off",
      placeholder: mixed.length ? "Mix in a class …" : "Choose a class …",
      disabled: mixed.length >= MOST_MIXED,
      "aria-label": mixed.length ? "Mix in a class" : "Choose a class",
      "aria-expanded": "false",
      "aria-controls": id,
      "aria-autocomplete": "list",
    });
    let active = -1;
    const take = (index) => {
      const weight = mixed.length ? mixed.reduce((sum, pair) => sum + pair[1], 0) / mixed.length : 1;
      this.#set([...mixed, [index, weight]]);
    };
    const close = () => {
      list.hidden = true;
      active = -1;
      field.setAttribute("aria-expanded", "false");
      field.removeAttribute("aria-activedescendant");
    };
    const open = () => {
      const wanted = field.value.trim().toLowerCase();
      const found = classes
        .map((each, index) => ({ ...each, index }))
        .filter(({ name, also, index }) => !mixed.some((pair) => pair[0] === index) && (`${name} ${also}`.toLowerCase().includes(wanted) || wanted === String(index)))
        .slice(0, MOST_FOUND);
      list.replaceChildren(
        ...found.map(({ name, index }) =>
          el("li", { role: "option", id: `${id}-${index}`, "data-index": index, "aria-selected": "false", onpointerdown: (event) => (event.preventDefault(), take(index)) }, name === String(index) ? name : `${name} `, name === String(index) ? "" : el("span", { class: "quiet" }, String(index))),
        ),
      );
      list.hidden = !found.length;
      active = -1;
      field.setAttribute("aria-expanded", String(found.length > 0));
    };
    field.oninput = field.onfocus = open;
    field.onblur = close;
    field.onkeydown = (event) => {
      const options = [...list.children];
      if (event.key === "Escape") close();
      if (event.key === "Enter" && options.length) take(Number(options[Math.max(0, active)].dataset.index));
      if ((event.key === "ArrowDown" || event.key === "ArrowUp") && options.length) {
        event.preventDefault();
        active = (active + (event.key === "ArrowDown" ? 1 : options.length - (active < 0 ? 0 : 1))) % options.length;
        options.forEach((option, place) => option.setAttribute("aria-selected", String(place === active)));
        options[active].scrollIntoView({ block: "nearest" });
        field.setAttribute("aria-activedescendant", options[active].id);
      }
    };
    return el("div", { class: "search" }, field, list);
  }
}
