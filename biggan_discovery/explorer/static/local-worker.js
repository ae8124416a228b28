// Runs the network of a static demo. {id, file, z, y} is answered by {id, images} or {id, error}.

const runtime = new URL("../runtime/", import.meta.url);
const sessions = new Map();
let last = Promise.resolve();

/** The network of a file, and the shape of its latent. */
async function session(file) {
  const ort = await import(new URL("ort.wasm.min.mjs", runtime).href);
  ort.env.wasm.wasmPaths = runtime.href;
  ort.env.wasm.numThreads = 1; // More need headers that static hosts do not send.
  const folder = new URL(`../data/${file}/`, import.meta.url);
  const { generator, z_dim: size } = await (await fetch(new URL("about.json", folder))).json();
  const shape = generator.layers > 1 ? [1, generator.layers, size] : [1, size];
  const model = new URL("generator.onnx", folder).href;
  return { ort, shape, network: await ort.InferenceSession.create(model, { executionProviders: ["wasm"] }) };
}

async function images({ file, z, y }) {
  if (!sessions.has(file)) sessions.set(file, session(file));
  const { ort, network, shape } = await sessions.get(file);
  const inputs = { z: new ort.Tensor("float32", z, shape) };
  if (y) inputs.y = new ort.Tensor("float32", y, [1, y.length]);
  return (await network.run(inputs)).images.data;
}

self.onmessage = ({ data }) => {
  // One after the other: a session runs one picture at a time.
  last = last.then(async () => {
    try {
      self.postMessage({ id: data.id, images: await images(data) });
    } catch (error) {
      sessions.delete(data.file);
      self.postMessage({ id: data.id, error: String(error?.message ?? error) });
    }
  });
};
