"""Where a search starts."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from biggan_discovery.directions.directions import Directions
from biggan_discovery.directions.orthonormalize import orthonormalize
from biggan_discovery.directions.space import check_count
from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.files import existing_file
from biggan_discovery.numerics.streams import random_numbers

STARTS = ("random", "coordinates")


def random_frame(ndirs: int, width: int, *, seed: int, stream: int, index: int = 0) -> Tensor:
    """Uniformly distributed orthonormal rows (ndirs, width), float32 on the CPU: frame `index` of a stream.

    Raises:
        UserError: ndirs is not 1 to `width`.
    """
    check_count(ndirs, width)
    gaussian = random_numbers(seed, stream, step=index).standard_normal((ndirs, width))
    return orthonormalize(torch.from_numpy(gaussian)).float()


def initial_matrix(
    init: str | os.PathLike[str], ndirs: int, z_dim: int, seed: int, space: slice | None = None
) -> Tensor:
    """The matrix A that a search starts from.

    Args:
        init: "random" for orthonormal Gaussian rows (uniformly distributed frames), "coordinates" for the first
            `ndirs` axes of the space, or a directions file for its first `ndirs` rows of Q.
        ndirs: number of directions, 1 to the number of coordinates.
        z_dim: length of z.
        seed: of the random rows; the global random state is not touched.
        space: the coordinates of z that directions may have; all where None.

    Returns:
        A, (ndirs, coordinates in the space), float32, on the CPU.

    Raises:
        UserError: where ndirs is out of range, or the file is missing, damaged, of another z_dim, has too few rows or
            such that leave the space.
    """
    space = space or slice(0, z_dim)
    width = space.stop - space.start
    check_count(ndirs, width)
    if init == "random":
        gaussian = torch.randn(ndirs, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return orthonormalize(gaussian).float()
    if init == "coordinates":
        return torch.eye(ndirs, width)
    rows = _rows_of_file(init, ndirs, z_dim)
    within = rows[:, space].clone()
    if torch.count_nonzero(rows) > torch.count_nonzero(within):
        raise UserError(f"{init} has directions outside of z[{space.start}:{space.stop}]; start from others")
    return within


def directions_of_start(path: str | os.PathLike[str]) -> Directions:
    """The directions in a file that a search starts from.

    Raises:
        UserError: where it is missing or damaged; with the names of starts that are nearly the same.
    """
    try:
        existing_file(path)
    except UserError as error:
        near = near_matches(os.fspath(path), STARTS)
        raise UserError(f"init is {', '.join(STARTS)} or a directions file, and {error}{near}") from error
    return Directions.load(path)


def _rows_of_file(path: str | os.PathLike[str], ndirs: int, z_dim: int) -> Tensor:
    directions = directions_of_start(path)
    if directions.z_dim != z_dim:
        raise UserError(f"{path} has directions for z of length {directions.z_dim}; this generator's z has {z_dim}")
    if len(directions) < ndirs:
        raise UserError(f"{path} has {len(directions)} directions; a start for {ndirs} needs as many or more")
    return directions.Q[:ndirs]
