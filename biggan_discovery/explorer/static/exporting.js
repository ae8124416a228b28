// Export: films, stills and latents, and the command line that makes the same.

import { dialog } from "./dialog.js";
import { copy, el, find, notice } from "./dom.js";
import { Lost, Overtaken } from "./remote.js";
import { viewOf } from "./state.js";

const FORMS = [
  ["mp4", "Film, MP4"],
  ["webp", "Film, WebP"],
  ["gif", "Film, GIF"],
  ["png", "Before and after, PNG"],
  ["npz", "Latents as shown, NPZ"],
];

export function exporting(model, store) {
  const form = el("select", { id: "form" }, ...FORMS.map(([value, text]) => el("option", { value }, text)));
  const frames = el("input", { type: "number", id: "frames", min: 2, max: 2000, step: 1, value: 60 });
  const fps = el("input", { type: "number", id: "fps", min: 1, max: 60, step: 1, value: 20 });
  const film = el("div", { class: "field" }, el("label", { for: "frames" }, "Frames"), frames, el("label", { for: "fps" }, "per second"), fps);
  const command = el("code", { id: "command", tabIndex: 0 });
  const line = el("div", { class: "command" }, el("pre", {}, command), el("button", { type: "button", id: "copy-command", onclick: () => copy(command.textContent, "Command") }, "Copy"));
  const start = el("button", { type: "button", class: "main", id: "start-export" }, "Make it");
  const stop = el("button", { type: "button", hidden: true }, "Stop");
  const bar = el("progress", { hidden: true, "aria-label": "Frames drawn" });
  const said = el("p", { class: "quiet", id: "export-said", "aria-live": "polite" });
  const link = el("a", { id: "download", class: "button main", hidden: true });
  const picture = el("button", { type: "button", class: "link", id: "save-picture", onclick: () => savePictures() }, "Save the pictures as they are shown (PNG, without captions)");
  const view = viewOf(store.state);
  const request = () => ({ form: form.value, frames: Number(frames.value), fps: Number(fps.value) });
  let running = null;

  const tell = async () => {
    film.hidden = form.value === "png" || form.value === "npz";
    line.hidden = form.value === "npz";
    link.hidden = true;
    said.textContent = "";
    try {
      const answer = await model.generator.command(model.file, view, request());
      command.textContent = answer.command;
    } catch (error) {
      said.textContent = error.message;
    }
  };
  form.onchange = frames.onchange = fps.onchange = tell;

  start.onclick = async () => {
    link.hidden = true;
    said.textContent = "Drawing …";
    start.disabled = true;
    const films = !film.hidden;
    bar.max = films ? Number(frames.value) : 1;
    bar.value = 0;
    bar.hidden = stop.hidden = !films;
    try {
      running = model.generator.export(model.file, view, request(), (done) => {
        bar.value = done;
        said.textContent = `Frame ${done} of ${bar.max}`;
      });
      const { address, size } = await running.result;
      link.href = address;
      link.download = address.split("/").pop();
      link.textContent = `Save ${link.download}`;
      link.hidden = false;
      said.textContent = size;
      link.focus();
    } catch (error) {
      said.textContent = error instanceof Overtaken ? "Stopped." : error instanceof Lost ? "The server stopped; try again when it is back." : error.message;
    }
    running = null;
    start.disabled = false;
    bar.hidden = stop.hidden = true;
  };
  stop.onclick = () => running?.cancel();

  const fields = el("div", { class: "field" }, el("label", { for: "form" }, "Format"), form);
  const label = el("p", { class: "quiet" }, "The same from a terminal:");
  dialog("Export", [fields, film, el("div", { class: "tools" }, start, stop, link), bar, said, label, line, picture], {
    onclose: () => running?.cancel(),
  });
  tell();
}

/** Saves each picture of the editor, pixel by pixel. */
export function savePictures() {
  const canvases = [...find("#pictures").querySelectorAll("canvas")];
  for (const canvas of canvases) {
    canvas.toBlob((blob) => {
      const address = URL.createObjectURL(blob);
      const name = canvas.getAttribute("aria-label").replace(/^Picture of /, "").replace(/[^\w]+/g, "-");
      el("a", { href: address, download: `${name}.png` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
    });
  }
  notice(canvases.length === 1 ? "Picture saved" : `${canvases.length} pictures saved`);
}
