// The network of a static demo in onnxruntime-web: on the GPU where the browser has WebGPU, and that is right and faster.

const runtime = new URL("../runtime/", import.meta.url);
const CLOSE = 2 / 255; // Two of 255 levels: images are in [-1, 1].

/** The runtime, and its providers here, the reference first. */
export async function load() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const ort = await import(new URL(adapter ? "ort.webgpu.min.mjs" : "ort.wasm.min.mjs", runtime).href);
  ort.env.wasm.wasmPaths = runtime.href;
  ort.env.wasm.numThreads = 1; // More need headers that static hosts do not send.
  return { ort, providers: adapter ? ["wasm", "webgpu"] : ["wasm"] };
}

/** The networks of a file, one for each provider that takes it. */
export async function create(ort, file, providers) {
  const model = new URL(`../data/${file}/generator.onnx`, import.meta.url).href;
  const networks = [];
  for (const provider of providers) {
    try {
      networks.push(await ort.InferenceSession.create(model, { executionProviders: [provider] }));
    } catch (error) {
      if (!networks.length) throw error;
    }
  }
  return networks;
}

/** The fastest of networks whose image of some inputs is that of the first one. */
export async function fastest(networks, inputs) {
  if (networks.length === 1) return networks[0];
  let [best, least, expected] = [networks[0], Infinity, null];
  for (const network of networks) {
    try {
      const image = (await network.run(inputs)).images.data; // Compiles, so it is not timed.
      expected ??= image;
      const start = performance.now();
      await network.run(inputs);
      const taken = performance.now() - start;
      if (taken < least && image.every((value, place) => Math.abs(value - expected[place]) <= CLOSE)) [best, least] = [network, taken];
    } catch (error) {
      if (network === networks[0]) throw error;
    }
  }
  for (const network of networks) if (network !== best) await network.release();
  return best;
}
