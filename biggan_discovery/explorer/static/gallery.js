// Every direction as a small moving strip.

import { el, find, notice, signed } from "./dom.js";

const PERIOD = 220; // milliseconds of a frame

export class Gallery {
  #model;
  #open;
  #cards = [];
  #strips = new Map();
  #paused = matchMedia("(prefers-reduced-motion: reduce)").matches;
  #seen = new Set();
  #watch;
  #asking = null;

  /** `model` knows the directions, `open(row)` shows one in the editor. */
  constructor(model, open) {
    this.#model = model;
    this.#open = open;
    for (const id of ["#filter", "#sort", "#only-starred", "#show-hidden"]) find(id).addEventListener("input", () => this.arrange());
    find("#clear-filter").onclick = () => {
      find("#filter").value = "";
      find("#only-starred").checked = false;
      this.arrange();
      find("#filter").focus();
    };
    find("#motion").onclick = () => this.#pause(!this.#paused);
    this.#watch = new IntersectionObserver((entries) => this.#see(entries), { rootMargin: "200px" });
    model.generator.addEventListener("strip", (event) => this.#show(event.detail));
    this.#pause(this.#paused);
  }

  /** Builds the cards of a file anew. */
  build() {
    this.#watch.disconnect();
    this.#strips.clear();
    this.#seen.clear();
    const { directions, metrics } = this.#model.about;
    const sorts = [["number", "number"], ["name", "name"], ...metrics.map((metric, index) => [`metric ${index}`, metric.title])];
    find("#sort").replaceChildren(...sorts.map(([value, text]) => el("option", { value }, text)));
    find("#sort").value = metrics.length ? "metric 0" : "number";
    this.#cards = directions.map((_, row) => this.#card(row));
    find("#cards").replaceChildren(...this.#cards.map((card) => card.element));
    for (const card of this.#cards) this.#watch.observe(card.element);
    this.refresh();
  }

  /** Asks for strips again, as ranges changed or the server is back. */
  ask() {
    clearTimeout(this.#asking);
    this.#asking = setTimeout(() => {
      const rows = this.#shownRows();
      const order = [...rows.filter((row) => this.#seen.has(row)), ...rows.filter((row) => !this.#seen.has(row))];
      this.#model.generator.strips(this.#model.file, order.filter((row) => !this.#strips.has(row)));
      this.#tell();
    }, 150);
  }

  /** Shows names, stars and the like as they are now. */
  refresh(changed = null) {
    const { directions } = this.#model.about;
    for (const row of changed ?? []) this.#strips.delete(row);
    directions.forEach((direction, row) => this.#cards[row].fill(direction));
    find("#hidden-count").textContent = `Hidden (${directions.filter((each) => each.hidden).length})`;
    this.arrange();
  }

  /** Filters and sorts. */
  arrange() {
    const rows = this.#shownRows();
    const places = new Map(rows.map((row, place) => [row, place]));
    this.#cards.forEach((card, row) => (card.element.hidden = !places.has(row)));
    const list = find("#cards");
    const elements = rows.map((row) => this.#cards[row].element);
    if (elements.some((element, place) => list.children[place] !== element)) list.prepend(...elements);
    find("#nothing").hidden = rows.length > 0;
    this.ask();
  }

  #shownRows() {
    const { directions, metrics } = this.#model.about;
    const wanted = find("#filter").value.trim().toLowerCase();
    const starred = find("#only-starred").checked;
    const hidden = find("#show-hidden").checked;
    const rows = directions
      .map((_, row) => row)
      .filter((row) => {
        const { name, note, starred: star, hidden: away } = directions[row];
        const text = `${row} ${name} ${note}`.toLowerCase();
        return (!wanted || text.includes(wanted)) && (!starred || star) && (hidden || !away);
      });
    const sort = find("#sort").value;
    const values = sort.startsWith("metric ") ? metrics[Number(sort.slice(7))]?.values : null;
    if (values) rows.sort((a, b) => (values[b] ?? -Infinity) - (values[a] ?? -Infinity) || a - b);
    if (sort === "name") rows.sort((a, b) => (directions[a].name || "\uffff").localeCompare(directions[b].name || "\uffff") || a - b);
    return rows;
  }

  #card(row) {
    const strip = el("button", { type: "button", class: "strip", onclick: () => this.#open(row) }, el("span", { class: "wait" }));
    const title = el("span", { class: "title" });
    const value = el("span", { class: "quiet value" });
    const star = el("button", { type: "button", class: "plain star", onclick: () => this.#flip(row, "starred") }, "★");
    const hide = el("button", { type: "button", class: "plain", onclick: () => this.#flip(row, "hidden") });
    const element = el("li", { class: "card", "data-row": row }, strip, el("div", { class: "card-line" }, title, star, hide), value);
    strip.onpointermove = (event) => this.#scrub(row, event);
    strip.onpointerleave = () => this.#play(row);
    const fill = (direction) => {
      const suggestion = this.#model.about.suggestions[row];
      const name = direction.name || (suggestion ? `${suggestion}?` : "unnamed");
      title.replaceChildren(el("span", { class: "number" }, String(row)), el("span", { class: direction.name ? "name" : "name quiet" }, name));
      strip.setAttribute("aria-label", `Open direction ${row}${direction.name ? `, ${direction.name}` : ""} in the editor`);
      star.setAttribute("aria-label", `Star direction ${row}`);
      star.setAttribute("aria-pressed", String(direction.starred));
      star.textContent = direction.starred ? "★" : "☆";
      hide.textContent = direction.hidden ? "show" : "hide";
      hide.setAttribute("aria-label", `${direction.hidden ? "Show" : "Hide"} direction ${row} ${direction.hidden ? "again" : "in the gallery"}`);
      star.disabled = hide.disabled = this.#model.about.locked !== "";
      element.classList.toggle("away", direction.hidden);
      value.textContent = this.#facts(row, direction);
    };
    return { element, strip, fill };
  }

  #facts(row, direction) {
    const { metrics } = this.#model.about;
    const sort = find("#sort").value;
    const metric = metrics[sort.startsWith("metric ") ? Number(sort.slice(7)) : 0];
    const value = metric?.values[row];
    const parts = [
      value === null || value === undefined ? "" : `${metric.title} ${Number(value).toPrecision(3)}`,
      direction.layers === "all" ? "" : `layers ${direction.layers}`,
      direction.inactive ? "inactive" : "",
    ];
    return parts.filter(Boolean).join(" · ");
  }

  #flip(row, key) {
    const direction = this.#model.about.directions[row];
    this.#model.mark(row, key, !direction[key]);
    if (key === "hidden" && !direction.hidden) notice(`Direction ${row} is hidden; tick "Hidden" to see it`);
  }

  #see(entries) {
    for (const { target, isIntersecting } of entries) {
      const row = Number(target.dataset.row);
      if (isIntersecting) this.#seen.add(row);
      else this.#seen.delete(row);
      this.#play(row);
    }
    this.ask();
  }

  #show({ file, direction: row, name, frames, samples, ends, equal }) {
    if (file !== this.#model.file || !this.#cards[row]) return;
    const { strip } = this.#cards[row];
    this.#strips.set(row, { frames, ends, equal });
    strip.style.backgroundImage = `url("${name}")`;
    strip.style.backgroundSize = `100% ${100 * frames}%`;
    strip.style.aspectRatio = String(samples);
    find("#cards").dataset.samples = String(samples);
    strip.querySelector(".wait")?.remove();
    strip.title = `${signed(ends[0])} to ${signed(ends[1])}${equal ? ", measured for an equal change" : ""}`;
    this.#strips.get(row).motion = strip.animate([{ backgroundPositionY: "0%" }, { backgroundPositionY: "100%" }], {
      duration: PERIOD * frames,
      easing: `steps(${frames}, jump-none)`,
      direction: "alternate",
      iterations: Infinity,
    });
    // All strips move together, however late they came.
    this.#strips.get(row).motion.startTime = 0;
    this.#play(row);
    this.#model.measured(row, equal ? ends : null);
    this.#tell();
  }

  #tell() {
    const left = this.#shownRows().filter((row) => !this.#strips.has(row)).length;
    find("#making").textContent = left && this.#model.generator.connected ? `Drawing strips, ${left} to go. They are kept for the next time.` : "";
  }

  #play(row) {
    const motion = this.#strips.get(row)?.motion;
    if (!motion) return;
    if (this.#paused || !this.#seen.has(row)) {
      motion.pause();
      if (this.#paused) motion.currentTime = motion.effect.getTiming().duration;
    } else {
      motion.play();
      motion.startTime = 0;
    }
  }

  #scrub(row, event) {
    const strip = this.#strips.get(row);
    if (!strip || event.pointerType !== "mouse") return;
    const { left, width } = event.currentTarget.getBoundingClientRect();
    const share = Math.min(0.999, Math.max(0.001, (event.clientX - left) / width));
    strip.motion.pause();
    strip.motion.currentTime = share * strip.motion.effect.getTiming().duration;
  }

  #pause(paused) {
    this.#paused = paused;
    find("#motion").textContent = paused ? "Play" : "Pause";
    find("#motion").setAttribute("aria-pressed", String(paused));
    find("#motion").setAttribute("aria-label", paused ? "Play the strips" : "Pause the strips");
    for (const row of this.#strips.keys()) this.#play(row);
  }
}

