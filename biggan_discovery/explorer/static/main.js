// The explorer: puts its parts together.

import { Children } from "./children.js";
import { Classes } from "./classes.js";
import { copy, el, find, notice, signed } from "./dom.js";
import { exporting, savePictures } from "./exporting.js";
import { Gallery } from "./gallery.js";
import { keys, showKeys } from "./keys.js";
import { Model } from "./model.js";
import { Moves } from "./moves.js";
import { Pad } from "./pad.js";
import { RemoteGenerator } from "./remote.js";
import { Samples } from "./samples.js";
import { Stage } from "./stage.js";
import { fresh, fromHash, Store, toHash } from "./state.js";

// A static demo says that its generator is in the browser.
const isLocal = document.documentElement.dataset.generator === "local";
const generator = isLocal ? new (await import("./local.js")).LocalGenerator() : new RemoteGenerator();
const model = new Model(generator);
const store = new Store();
const stage = new Stage(model, store);
const moves = new Moves(model, store);
const samples = new Samples(model, store);
const classes = new Classes(model, store);
const pad = new Pad(model, store);
const children = new Children(model, store);
const gallery = new Gallery(model, (row) => {
  store.set({ page: "editor", edits: store.edit(row) ? store.state.edits : [...store.state.edits, { row, amount: 0, layers: null }] });
  moves.focus(row);
});

function show({ draft = false } = {}) {
  const { state } = store;
  const editor = state.page === "editor";
  if (document.body.dataset.page !== state.page) window.scrollTo(0, 0);
  document.body.dataset.page = state.page;
  find("#gallery").hidden = editor;
  find("#editor").hidden = !editor;
  for (const [button, here] of [[find("#to-gallery"), !editor], [find("#to-editor"), editor]]) {
    if (here) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  if (!model.about) return;
  moves.refresh({ draft });
  pad.refresh({ draft });
  if (!draft) {
    samples.refresh();
    classes.refresh();
  }
  if (editor) stage.show({ draft });
  const moved = state.edits.filter((edit) => edit.amount);
  const words = moved.map(({ row, amount, layers }) => `${model.title(row)} ${signed(amount)}${layers ? ` (layers ${layers})` : ""}`);
  find("#facts").textContent = words.join(" · ") || "Nothing is moved yet.";
  find("#undo").disabled = !store.steps.undo;
  find("#redo").disabled = !store.steps.redo;
  find("#reset").disabled = !state.edits.length;
}

function reset() {
  store.set({ edits: store.state.edits.map((edit) => ({ ...edit, amount: 0, layers: null })) });
}

function go(page) {
  store.set({ page });
  find("#main").focus({ preventScroll: true });
}

/** Opens the file of the state, or the first one. */
async function open() {
  const wanted = store.state.file;
  const place = generator.files.findIndex((file) => file.label === wanted);
  await model.open(Math.max(0, place));
  if (wanted && place < 0) notice(`${wanted} is not open here; ${model.about.label} is shown`, { kind: "error" });
}

function opened() {
  const { about } = model;
  const { name, resolution, device } = about.generator;
  document.title = `${about.label} · Explorer`;
  find("#about").textContent = `${about.directions.length} directions of ${name}, ${resolution} px, ${device}`;
  find("#file").replaceChildren(...generator.files.map((file, index) => el("option", { value: index }, file.label)));
  find("#file").value = model.file;
  find("#file-label").hidden = generator.files.length < 2;
  store.state = { ...inFile(store.state), file: generator.files.length > 1 ? about.label : "" };
  locked();
  gallery.build();
  moves.build();
  show();
}

/** A state without directions that the file does not have, and without classes that its generator does not have. */
function inFile(state) {
  const { directions, generator: { classes: known } } = model.about;
  const edits = state.edits.filter((edit) => directions[edit.row]);
  const classes = state.classes.filter(([index]) => known[index]);
  const missing = [edits.length < state.edits.length && "directions", classes.length < state.classes.length && "classes"].filter(Boolean);
  if (missing.length) notice(`Some ${missing.join(" and ")} of this link are not in the file.`, { kind: "error" });
  return { ...state, edits, classes, pad: state.pad?.every((row) => directions[row]) ? state.pad : null };
}

function locked() {
  find("#locked").hidden = !model.about.locked;
  find("#copy-file").hidden = !generator.abilities.has("copy");
  find("#locked span").textContent = model.about.locked ? `Names cannot be saved: ${model.about.locked}.` : "";
}

find("#skip").onclick = (event) => {
  event.preventDefault(); // The address is the state.
  find("#main").focus();
};
find("#to-gallery").onclick = () => go("gallery");
find("#to-editor").onclick = () => go("editor");
find("#undo").onclick = store.undo;
find("#redo").onclick = store.redo;
find("#reset").onclick = reset;
find("#link").onclick = () => copy(location.href, "Link");
const canExport = generator.abilities.has("export");
const save = canExport ? () => exporting(model, store) : savePictures;
if (!canExport) find("#export").textContent = "Save picture";
find("#export").onclick = save;
find("#help").onclick = showKeys;
find("#file").onchange = async () => {
  store.load({ ...fresh(), page: store.state.page, file: generator.files[Number(find("#file").value)].label });
  await open();
};
find("#copy-file").onclick = async () => {
  try {
    const { path } = await generator.copy(model.file);
    notice(`Names are saved in ${path} from now on`);
  } catch (error) {
    notice(error.message, { kind: "error" });
  }
};

store.addEventListener("change", (event) => show(event.detail));
store.addEventListener("commit", () => {
  const turned = location.hash && fromHash(location.hash).page !== store.state.page;
  history[turned ? "pushState" : "replaceState"]("own", "", toHash(store.state)); // Back goes to the other page.
});
window.addEventListener("popstate", (event) => {
  if (!model.about) return;
  const state = fromHash(location.hash);
  if (event.state === "own") {
    store.set({ page: state.page }); // Sliders stay as they are.
    return;
  }
  if (state.file === store.state.file) {
    store.set(inFile(state));
    return;
  }
  store.load(state);
  open().catch(failed);
});
model.addEventListener("opened", opened);
model.addEventListener("measured", () => moves.refresh());
model.addEventListener("marks", (event) => {
  locked();
  gallery.refresh(event.detail);
  moves.refresh();
  pad.refresh();
});

generator.addEventListener("lost", () => {
  find("#lost").textContent = "The server has stopped. Start it again with the same command; this page comes back by itself.";
  find("#lost").hidden = false;
});
generator.addEventListener("back", async () => {
  find("#lost").hidden = true;
  notice("Connected again");
  await open().catch(failed);
});

const themes = ["system", "light", "dark"];
function theme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  localStorage.setItem("explorer-theme", name);
  find("#theme").textContent = { system: "◐", light: "○", dark: "●" }[name];
  find("#theme").setAttribute("aria-label", `Colours: ${name === "system" ? "as the system" : name}`);
  find("#theme").title = find("#theme").getAttribute("aria-label");
}
find("#theme").onclick = () => theme(themes[(themes.indexOf(localStorage.getItem("explorer-theme") ?? "system") + 1) % 3]);
theme(themes.includes(localStorage.getItem("explorer-theme")) ? localStorage.getItem("explorer-theme") : "system");

keys({
  g: () => go("gallery"),
  e: () => go("editor"),
  "/": () => find(store.state.page === "editor" ? "#add" : "#filter").focus(),
  n: () => samples.another(),
  r: reset,
  x: save,
  "?": showKeys,
  hold: (held) => store.state.page === "editor" && stage.hold(held),
  undo: store.undo,
  redo: store.redo,
});

function failed(error) {
  find("#lost").textContent = error.message;
  find("#lost").hidden = !error.message;
}

store.load(fromHash(location.hash));
await generator.connect();
await open().catch(failed);
