"""Derivatives, products with Jacobians, eigenvectors and joint diagonalization: mathematics that knows no generator."""
