// The explorer: puts its parts together.

import { copy, el, find, notice } from "./dom.js";
import { Editor } from "./editor.js";
import { Gallery } from "./gallery.js";
import { keys, showKeys } from "./keys.js";
import { Model } from "./model.js";
import { RemoteGenerator } from "./remote.js";
import { fresh, fromHash, Store, toHash } from "./state.js";

// A static demo says that its generator is in the browser.
const isLocal = document.documentElement.dataset.generator === "local";
const generator = isLocal ? new (await import("./local.js")).LocalGenerator() : new RemoteGenerator();
const model = new Model(generator);
const store = new Store();
const editor = new Editor(model, store);
const gallery = new Gallery(model, (row) => {
  store.set({ page: "editor", edits: store.edit(row) ? store.state.edits : [...store.state.edits, { row, amount: 0, layers: null }] });
  editor.focus(row);
});

function show({ draft = false } = {}) {
  const { state } = store;
  const editing = state.page === "editor";
  if (document.body.dataset.page !== state.page) window.scrollTo(0, 0);
  document.body.dataset.page = state.page;
  find("#gallery").hidden = editing;
  find("#editor").hidden = !editing;
  for (const [button, here] of [[find("#to-gallery"), !editing], [find("#to-editor"), editing]]) {
    if (here) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  if (model.about) editor.show({ draft, seen: editing });
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
  editor.build();
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
find("#link").onclick = () => copy(location.href, "Link");
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
model.addEventListener("marks", (event) => {
  locked();
  gallery.refresh(event.detail);
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
  n: () => editor.another(),
  r: editor.reset,
  x: editor.save,
  "?": showKeys,
  hold: (held) => store.state.page === "editor" && editor.hold(held),
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
