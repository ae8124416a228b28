// Runs the network of a static demo. {id, file, z, y} is answered by {id, images} or {id, error}.

import { create, fastest, load } from "./network.js";

const opened = new Map();
let runtime = null;
let last = Promise.resolve();

/** The network of a file, chosen by a first picture, and the shape of its latent. */
async function open(file, { z, y }) {
  const { ort, providers } = await (runtime ??= load());
  const { generator, z_dim: size } = await (await fetch(new URL(`../data/${file}/about.json`, import.meta.url))).json();
  const tensors = (latent, classes) => ({
    z: new ort.Tensor("float32", latent, generator.layers > 1 ? [1, generator.layers, size] : [1, size]),
    ...(classes ? { y: new ort.Tensor("float32", classes, [1, classes.length]) } : {}),
  });
  return { tensors, network: await fastest(await create(ort, file, providers), tensors(z, y)) };
}

async function images({ file, z, y }) {
  if (!opened.has(file)) opened.set(file, open(file, { z, y }));
  const { network, tensors } = await opened.get(file);
  return (await network.run(tensors(z, y))).images.data;
}

self.onmessage = ({ data }) => {
  // One after the other: a session runs one picture at a time.
  last = last.then(async () => {
    try {
      self.postMessage({ id: data.id, images: await images(data) });
    } catch (error) {
      opened.delete(data.file);
      runtime = null;
      self.postMessage({ id: data.id, error: String(error?.message ?? error) });
    }
  });
};
