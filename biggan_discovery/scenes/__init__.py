"""The bundled generators: procedural scenes with known factors, and BigGAN networks fitted to them."""
