// The one dialog of the page.

import { el, find } from "./dom.js";

/** Shows a dialog with a title; `content` are elements. Escape and "Close" end it, and focus goes back. */
export function dialog(title, content, { onclose = null } = {}) {
  const box = find("#dialog");
  const close = el("button", { type: "button", class: "plain", "aria-label": "Close", onclick: () => box.close() }, "✕");
  box.replaceChildren(el("div", { class: "dialog-head" }, el("h2", { id: "dialog-title" }, title), close), ...content);
  box.onclose = () => {
    box.replaceChildren();
    onclose?.();
  };
  box.onclick = (event) => {
    if (event.target === box) box.close();
  };
  box.showModal();
  return box;
}
