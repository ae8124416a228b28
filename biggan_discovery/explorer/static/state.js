// What is shown: kept in the address, so that a copied link gives the same picture; with undo and redo.

const MOST_STEPS = 200;

export const fresh = () => ({
  page: "gallery",
  file: "",
  seed: 0,
  pick: [0],
  classes: [], // [index, weight]; none for those of the directions
  truncation: null, // that of the directions
  latents: "",
  edits: [], // {row, amount, layers: null for the direction's own}
  pad: null, // [row, row]
  compare: "after", // "before", "after" or "both"
});

/** What the generator is asked for. */
export const viewOf = (state, edits = state.edits) => ({
  seed: state.seed,
  pick: state.pick,
  classes: state.classes,
  truncation: state.truncation,
  latents: state.latents,
  edits: edits.map(({ row, amount, layers }) => [row, amount, layers]),
});

export function toHash(state) {
  const words = new URLSearchParams();
  if (state.file) words.set("file", state.file);
  if (state.seed) words.set("seed", state.seed);
  if (state.pick.join() !== "0") words.set("pick", state.pick.join());
  if (state.classes.length) words.set("class", state.classes.map((pair) => pair.join(":")).join());
  if (state.truncation !== null) words.set("truncation", state.truncation);
  if (state.latents) words.set("latents", state.latents);
  for (const { row, amount, layers } of state.edits) words.append("set", `${row}=${amount}${layers ? `@${layers}` : ""}`);
  if (state.pad) words.set("pad", state.pad.join());
  if (state.compare !== "after") words.set("compare", state.compare);
  const rest = words.toString().replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%3D", "=").replaceAll("%40", "@");
  return `#${state.page}${rest ? `&${rest}` : ""}`;
}

/** The state of an address; what makes no sense is left out. */
export function fromHash(hash) {
  const [page, ...rest] = hash.replace(/^#/, "").split("&");
  const words = new URLSearchParams(rest.join("&"));
  const state = fresh();
  const numbers = (text) => (text ?? "").split(",").filter((each) => /^\d{1,9}$/.test(each)).map(Number);
  if (page === "editor") state.page = page;
  state.file = words.get("file") ?? "";
  if (/^\d{1,15}$/.test(words.get("seed") ?? "")) state.seed = Number(words.get("seed"));
  const pick = numbers(words.get("pick"));
  if (pick.length) state.pick = pick;
  state.classes = (words.get("class") ?? "")
    .split(",")
    .map((pair) => pair.split(":").map(Number))
    .filter(([index, weight]) => Number.isInteger(index) && index >= 0 && weight > 0);
  const truncation = Number(words.get("truncation"));
  if (truncation > 0 && truncation <= 1) state.truncation = truncation;
  if (/^[0-9a-f]{16}$/.test(words.get("latents") ?? "")) state.latents = words.get("latents");
  for (const text of words.getAll("set")) {
    const match = /^(\d{1,9})=([-+.e\d]+)(?:@([\w-]+))?$/.exec(text);
    if (match && Number.isFinite(Number(match[2])) && !state.edits.some((edit) => edit.row === Number(match[1]))) {
      state.edits.push({ row: Number(match[1]), amount: Number(match[2]), layers: match[3] ?? null });
    }
  }
  const pad = numbers(words.get("pad"));
  if (pad.length === 2) state.pad = pad;
  if (["before", "both"].includes(words.get("compare"))) state.compare = words.get("compare");
  return state;
}

/** Holds the state and tells when it changes: "change" at each, also while a slider is dragged; "commit" when it rests. */
export class Store extends EventTarget {
  state = fresh();
  #past = [];
  #future = [];
  #resting = null;

  /** Changes some of the state. Without `commit` the change is one of many, as of a drag, and takes no step of undo. */
  set(changes, { commit = true } = {}) {
    this.state = { ...this.state, ...changes };
    this.dispatchEvent(new CustomEvent("change", { detail: { draft: !commit } }));
    if (commit) this.#commit();
  }

  /** Takes over a state, as one from an address, without a step of undo. */
  load(state) {
    this.state = state;
    this.#resting = JSON.stringify(state);
    this.#past = [];
    this.#future = [];
    this.dispatchEvent(new CustomEvent("change", { detail: { draft: false } }));
    this.dispatchEvent(new Event("commit"));
  }

  undo = () => this.#step(this.#past, this.#future);
  redo = () => this.#step(this.#future, this.#past);

  get steps() {
    return { undo: this.#past.length, redo: this.#future.length };
  }

  edit(row) {
    return this.state.edits.find((edit) => edit.row === row);
  }

  /** Changes one edit, or adds it. */
  move(row, changes, options) {
    const known = this.edit(row);
    const edits = known
      ? this.state.edits.map((edit) => (edit === known ? { ...edit, ...changes } : edit))
      : [...this.state.edits, { row, amount: 0, layers: null, ...changes }];
    this.set({ edits }, options);
  }

  #commit() {
    const now = JSON.stringify(this.state);
    if (now === this.#resting) return;
    // Going from the gallery to the editor is no change of the picture, and is not undone.
    const picture = (text) => JSON.stringify({ ...JSON.parse(text), page: "" });
    if (this.#resting !== null && picture(now) !== picture(this.#resting)) {
      this.#past.push(this.#resting);
      this.#past = this.#past.slice(-MOST_STEPS);
      this.#future = [];
    }
    this.#resting = now;
    this.dispatchEvent(new Event("commit"));
  }

  #step(from, to) {
    if (!from.length) return;
    to.push(this.#resting);
    this.#resting = from.pop();
    this.state = { ...JSON.parse(this.#resting), page: this.state.page };
    this.dispatchEvent(new CustomEvent("change", { detail: { draft: false } }));
    this.dispatchEvent(new Event("commit"));
  }
}
