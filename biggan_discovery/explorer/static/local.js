// A generator in the browser: the network as an ONNX file, run by onnxruntime-web in a worker. See remote.js for the interface.

const DRAFT_MILLISECONDS = 100;
const THIRDS = ["coarse", "mid", "fine"];

export class LocalGenerator extends EventTarget {
  abilities = new Set();
  files = [];
  connected = true;
  #opened = new Map();
  #worker = null;
  #answers = new Map();
  #next = 1;
  #milliseconds = null; // of a picture, lately

  async connect() {
    this.files = await json("data/files.json");
    this.#worker = new Worker(new URL("./local-worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.#answers.get(data.id);
      this.#answers.delete(data.id);
      if (data.error) reject(new Error(data.error));
      else resolve(data.images);
    };
  }

  async open(file) {
    if (!this.#opened.has(file)) {
      const about = await json(`data/${file}/about.json`);
      const [rows, latents] = await Promise.all(["directions", "latents"].map((name) => floats(`data/${file}/${name}.bin`)));
      this.#opened.set(file, { about, rows, latents });
    }
    this.#milliseconds = null;
    return this.#opened.get(file).about;
  }

  async draw(file, view, { draft = false } = {}) {
    const opened = this.#opened.get(file);
    const { generator, latents } = opened.about;
    if (view.seed >= latents.seeds) throw new Error(`there are seeds 0 to ${latents.seeds - 1} here`);
    const missing = view.pick.find((number) => number >= latents.samples);
    if (missing !== undefined) throw new Error(`there are samples 0 to ${latents.samples - 1} here`);
    let count = view.pick.length;
    if (draft && this.#milliseconds) count = Math.min(count, Math.max(1, Math.floor(DRAFT_MILLISECONDS / this.#milliseconds)));
    const side = generator.resolution;
    const pixels = new Uint8Array(count * side * side * 3);
    for (let place = 0; place < count; place += 1) {
      const number = view.pick[place];
      const start = performance.now();
      const image = await this.#ask({ file, z: this.#latent(opened, view, number), y: this.#classes(opened, view, number) });
      const taken = performance.now() - start;
      this.#milliseconds = this.#milliseconds ? Math.min(taken, 1.5 * this.#milliseconds) : taken;
      fill(pixels.subarray(place * side * side * 3), image, side * side);
    }
    const names = view.pick.map((number) => this.#name(opened, view, number));
    return { pixels, count, height: side, width: side, numbers: view.pick, names };
  }

  strips(file, rows) {
    const { strips } = this.#opened.get(file).about;
    for (const row of rows) {
      if (strips[row]) queueMicrotask(() => this.dispatchEvent(new CustomEvent("strip", { detail: { ...strips[row], file, direction: row } })));
    }
  }

  #ask(request) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#answers.set(id, { resolve, reject });
      this.#worker.postMessage({ ...request, id });
    });
  }

  /** (layers, z_dim): the sample's latent for each layer, moved by the edits that reach it. */
  #latent({ about, rows, latents }, view, number) {
    const size = about.z_dim;
    const layers = about.generator.layers;
    const start = (view.seed * about.latents.samples + number) * size;
    const z = new Float32Array(layers * size);
    for (let layer = 0; layer < layers; layer += 1) z.set(latents.subarray(start, start + size), layer * size);
    for (const [row, amount, reached] of view.edits) {
      const [first, last] = layerRange(reached ?? about.directions[row].layers, layers);
      for (let layer = first; layer <= last; layer += 1) {
        for (let index = 0; index < size; index += 1) z[layer * size + index] += amount * rows[row * size + index];
      }
    }
    return z;
  }

  /** Class weights of a sample; null for a network without classes. */
  #classes({ about }, view, number) {
    const count = about.generator.classes.length;
    if (!count) return null;
    const weights = new Float32Array(count);
    const chosen = view.classes.length ? view.classes : about.sample_classes[number];
    const total = chosen.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [index, weight] of chosen) {
      if (index >= count) throw new Error(`class ${index} is out of range; there are 0 to ${count - 1}`);
      weights[index] = weight / total;
    }
    return weights;
  }

  #name({ about }, view, number) {
    const { classes } = about.generator;
    if (!classes.length) return "";
    const chosen = view.classes.length ? view.classes : about.sample_classes[number];
    if (chosen.length === 1) return classes[chosen[0][0]].name;
    const total = chosen.reduce((sum, [, weight]) => sum + weight, 0);
    return chosen.map(([index, weight]) => `${classes[index].name} ${Math.round((100 * weight) / total) / 100}`).join(" + ");
  }
}

async function get(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address} is missing`);
  return response;
}

const json = async (address) => (await get(address)).json();
const floats = async (address) => new Float32Array(await (await get(address)).arrayBuffer());

/** The first and last layer that a text such as "all", "mid" or "4-8" means. */
export function layerRange(text, layers) {
  if (text === "all") return [0, layers - 1];
  const third = THIRDS.indexOf(text);
  if (third >= 0) return [Math.floor((layers * third) / 3), Math.floor((layers * (third + 1)) / 3) - 1];
  const [first, last = first] = text.split("-").map(Number);
  if (!(first >= 0 && last >= first && last < layers)) throw new Error(`layers ${text}: there are layers 0 to ${layers - 1}`);
  return [first, last];
}

/** Puts an image (3, H, W) or (1, H, W) in [-1, 1] into pixels (H, W, 3). */
function fill(pixels, image, area) {
  const grey = image.length === area;
  for (let place = 0; place < area; place += 1) {
    for (let channel = 0; channel < 3; channel += 1) {
      const level = (image[grey ? place : channel * area + place] + 1) * 127.5;
      pixels[3 * place + channel] = Math.max(0, Math.min(255, Math.round(level)));
    }
  }
}

