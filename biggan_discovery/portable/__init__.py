"""The portable penalties for JAX and TensorFlow, a module each; importing this package imports neither."""
