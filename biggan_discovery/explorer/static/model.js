// What the page knows of the open file, and changes of it.

import { notice, signed } from "./dom.js";
import { Lost } from "./remote.js";

/** Tells "opened" when another file is shown, and "marks" with the changed rows when its names, stars or ranges change. */
export class Model extends EventTarget {
  generator;
  file = 0;
  about = null;
  #measured = new Map();

  constructor(generator) {
    super();
    this.generator = generator;
    generator.addEventListener("marks", (event) => this.#take(event.detail));
    generator.addEventListener("suggested", ({ detail: { file, direction, name } }) => {
      if (file !== this.file || !this.about || this.about.suggestions[direction] === name) return;
      this.about.suggestions[direction] = name;
      this.dispatchEvent(new CustomEvent("marks", { detail: [] })); // The strips stay as they are.
    });
  }

  async open(file) {
    this.about = await this.generator.open(file);
    this.file = this.about.file;
    this.#measured.clear();
    this.dispatchEvent(new Event("opened"));
  }

  title(row) {
    const { name } = this.about.directions[row] ?? {};
    return name || (this.about.suggestions[row] ? `(${this.about.suggestions[row]}?)` : "unnamed");
  }

  /** Ends of the slider of a direction: the recommended ones, or as far as the search went. */
  range(row) {
    return this.about.directions[row].range ?? this.about.ranges[row];
  }

  /** Remembers how far a direction goes for an equal change of the picture. */
  measured(row, ends) {
    this.#measured.set(row, ends);
    this.dispatchEvent(new Event("measured"));
  }

  /** A range to recommend, if one was measured and none is recommended. */
  suggestedRange(row) {
    const ends = this.#measured.get(row);
    if (!ends || this.about.directions[row].range) return null;
    return ends.map((end) => Number(end.toPrecision(2)));
  }

  /** Saves a name, note, star or range in the file; a newer one of someone else stays. */
  async mark(row, key, value) {
    const direction = this.about.directions[row];
    const was = direction[key];
    if (JSON.stringify(was) === JSON.stringify(value)) return;
    direction[key] = value;
    this.dispatchEvent(new CustomEvent("marks", { detail: [row] }));
    try {
      const { done, now } = await this.generator.mark(this.file, row, key, value, was);
      if (!done) {
        direction[key] = now;
        notice(`Someone else changed the ${key} of direction ${row} to ${said(now)}; it is kept. Change it again to replace it.`, { kind: "error" });
      } else if (key !== "starred" && key !== "hidden") {
        notice(value ? `${this.about.path ? "Saved" : "Set"}: direction ${row}, ${key} ${said(value)}` : `Removed the ${key} of direction ${row}`);
      }
    } catch (error) {
      direction[key] = was;
      notice(error instanceof Lost ? "Not saved: the server has stopped." : `Not saved: ${error.message}`, { kind: "error" });
    }
    this.dispatchEvent(new CustomEvent("marks", { detail: [row] }));
  }

  #take({ file, directions, locked, path, sha256 }) {
    if (file !== this.file || !this.about) return;
    if (sha256 !== this.about.sha256) {
      notice("The directions in the file were replaced; they are shown anew.");
      this.open(file);
      return;
    }
    const changed = directions.map((_, row) => row).filter((row) => JSON.stringify(directions[row]) !== JSON.stringify(this.about.directions[row]));
    Object.assign(this.about, { directions, locked, path });
    this.dispatchEvent(new CustomEvent("marks", { detail: changed }));
  }
}

function said(value) {
  if (Array.isArray(value)) return value.map(signed).join(" to ");
  return typeof value === "string" ? `“${value}”` : String(value);
}
