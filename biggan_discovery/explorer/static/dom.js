// Small helpers for elements.

/** An element with properties, attributes ("aria-label", "data-x", "for", "role", ...), listeners ("onclick") and children. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name.includes("-") || name === "for" || name === "role" || name === "list") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

let root = document;

/** Looks for elements in a shadow root from now on; a widget in a notebook is in one. */
export const lookIn = (place) => (root = place);

export const find = (selector) => root.querySelector(selector);
export const findAll = (selector) => [...root.querySelectorAll(selector)];

/** The element that is typed in, or moved. */
export const active = () => root.activeElement;

/** A number as people write it: no more digits than matter. */
export const shown = (number) => String(Math.round(number * 100) / 100);

export const signed = (number) => (number > 0 ? "+" : "") + shown(number);

let last = null;

/** Tells something that needs no answer, also to screen readers. */
export function notice(text, { kind = "info" } = {}) {
  const place = find("#notice");
  clearTimeout(last);
  place.textContent = text;
  place.dataset.kind = text ? kind : "";
  if (text) last = setTimeout(() => notice(""), kind === "error" ? 9000 : 4000);
}

/** Copies text, also where the clipboard is not allowed. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el("textarea", { value: text, class: "hidden-visually" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  notice(`${what} copied`);
}
