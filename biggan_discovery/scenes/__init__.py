"""The bundled generator: procedural scenes with known factors, and a BigGAN network fitted to them."""
