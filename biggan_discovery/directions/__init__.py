"""Directions: the object, orthonormalisation, initial matrices, and files."""

from biggan_discovery.directions.directions import Directions
from biggan_discovery.directions.formats import export, import_matrix
from biggan_discovery.directions.matrices import read_matrix
from biggan_discovery.directions.naming import changing
from biggan_discovery.directions.orthonormalize import orthonormalize
from biggan_discovery.directions.space import pad
from biggan_discovery.directions.start import directions_of_start, initial_matrix, random_frame

load = Directions.load

__all__ = [
    "Directions",
    "changing",
    "directions_of_start",
    "export",
    "import_matrix",
    "initial_matrix",
    "load",
    "orthonormalize",
    "pad",
    "random_frame",
    "read_matrix",
]
