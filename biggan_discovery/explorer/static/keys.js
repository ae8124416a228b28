// Keyboard shortcuts. Single keys work outside of fields only, and can be switched off.

import { dialog } from "./dialog.js";
import { el } from "./dom.js";

const OFF = "explorer-single-keys-off";

const SINGLE = [
  ["g", "Gallery"],
  ["e", "Editor"],
  ["/", "Filter the gallery, or add a direction"],
  ["n", "New seed"],
  ["r", "Reset the sliders"],
  ["b", "Show the samples before the edit, while held"],
  ["x", "Export"],
  ["?", "This list"],
];
const OTHERS = [
  ["Ctrl+Z", "Undo"],
  ["Ctrl+Shift+Z", "Redo"],
  ["← →", "Move a slider; with Page Up and Page Down farther"],
  ["Double click", "Put a slider back to 0"],
];

const inField = (target) => target.closest?.("input:not([type=range]):not([type=checkbox]), textarea, select, [role=combobox]");

/** Calls `actions[key]` for single keys, `actions.undo` and `actions.redo`, and `actions.hold(down)` for b. */
export function keys(actions) {
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if ((event.ctrlKey || event.metaKey) && !event.altKey) {
      const key = event.key.toLowerCase();
      if (inField(event.target) && event.target.type !== "number") return;
      if (key === "z" || key === "y") {
        event.preventDefault();
        if (key === "y" || event.shiftKey) actions.redo();
        else actions.undo();
      }
      return;
    }
    if (event.altKey || event.ctrlKey || event.metaKey || inField(event.target) || localStorage.getItem(OFF)) return;
    if (event.key === "b") actions.hold(true);
    else if (actions[event.key]) {
      event.preventDefault();
      actions[event.key]();
    }
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === "b") actions.hold(false);
  });
  window.addEventListener("blur", () => actions.hold(false));
}

export function showKeys() {
  const row = ([key, text]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, text));
  const single = el("input", { type: "checkbox", checked: !localStorage.getItem(OFF) });
  single.onchange = () => (single.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1"));
  dialog("Keyboard", [
    el("dl", { class: "keys" }, ...[...SINGLE, ...OTHERS].map(row)),
    el("label", { class: "check" }, single, " Single keys are on"),
  ]);
}
