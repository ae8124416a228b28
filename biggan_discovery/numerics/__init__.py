"""Derivatives, products with Jacobians, eigenvectors and joint diagonalization: mathematics without generators."""
