"""Directions: the object, how its rows are made orthonormal, where they start, and the files that hold them."""

from biggan_discovery.directions.directions import Directions
from biggan_discovery.directions.formats import export, import_matrix, read_matrix
from biggan_discovery.directions.orthonormalize import orthonormalize
from biggan_discovery.directions.space import pad
from biggan_discovery.directions.start import initial_matrix

load = Directions.load

__all__ = ["Directions", "export", "import_matrix", "initial_matrix", "load", "orthonormalize", "pad", "read_matrix"]
