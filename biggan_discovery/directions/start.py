"""Initial matrices of a search."""

from __future__ import annotations

import os

import torch
from jaxtyping import Float32
from torch import Tensor

from biggan_discovery.directions.directions import Directions, check_orthonormal
from biggan_discovery.directions.orthonormalize import orthonormalize
from biggan_discovery.directions.space import check_count
from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.files import existing_file
from biggan_discovery.generators.layer_range import EACH
from biggan_discovery.numerics.streams import random_numbers

STARTS = ("random", "coordinates")


def random_frame(ndirs: int, width: int, *, seed: int, stream: int, index: int = 0) -> Float32[Tensor, "ndirs width"]:
    """Uniformly distributed orthonormal rows.

    Args:
        ndirs: number of rows, 1 to `width`.
        width: number of columns.
        seed: random seed.
        stream: see `Stream`.
        index: index of the frame in the stream.

    Returns:
        (ndirs, width) float32 on the CPU.

    Raises:
        UserError: If `ndirs` is not 1 to `width`.

    Example:
        >>> random_frame(2, 8, seed=0, stream=Stream.BASELINE_FRAME).shape
        torch.Size([2, 8])
    """
    check_count(ndirs, width)
    gaussian = random_numbers(seed, stream, step=index).standard_normal((ndirs, width))
    return orthonormalize(torch.from_numpy(gaussian)).float()


def initial_matrix(
    init: str | os.PathLike[str], ndirs: int, z_dim: int, seed: int, space: slice | None = None
) -> Float32[Tensor, "ndirs n"]:
    """Initial matrix A of a search.

    Args:
        init: "random" for orthonormalised Gaussian rows (uniformly distributed frames), "coordinates" for the first
            `ndirs` axes of the space, or a directions file for its first `ndirs` rows of Q.
        ndirs: number of directions, 1 to the number of coordinates.
        z_dim: size of a latent.
        seed: random seed; the global random state is left unchanged.
        space: coordinates of z to search. Defaults to all.

    Returns:
        A, (ndirs, n) float32 on the CPU, with n the number of coordinates of the space.

    Raises:
        UserError: If `ndirs` is out of range, or the file does not exist, is damaged, has another z_dim, too few rows,
            or rows that are not zero outside of the space.

    Example:
        >>> initial_matrix("coordinates", 1, 4, seed=0, space=slice(2, 4))
        tensor([[1., 0.]])
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
        raise UserError(
            f"{init} has directions that are not zero outside of z[{space.start}:{space.stop}]; choose another start"
        )
    return within


def directions_of_start(path: str | os.PathLike[str]) -> Directions:
    """Read the directions file that a search starts from.

    Raises:
        UserError: If the file does not exist or is damaged; suggests similar names of starts.
    """
    try:
        existing_file(path)
    except UserError as error:
        near = near_matches(os.fspath(path), STARTS)
        raise UserError(f"init must be {', '.join(STARTS)} or a directions file: {error}{near}") from error
    return Directions.load(path)


def _rows_of_file(path: str | os.PathLike[str], ndirs: int, z_dim: int) -> Float32[Tensor, "ndirs z_dim"]:
    directions = directions_of_start(path)
    if directions.z_dim != z_dim:
        raise UserError(f"{path} has directions for z_dim {directions.z_dim}, but this generator has z_dim {z_dim}")
    if len(directions) < ndirs:
        raise UserError(f"{path} has {len(directions)} directions; {ndirs} are needed")
    rows = directions.Q[:ndirs]
    if directions.layers == EACH:
        try:
            check_orthonormal(rows)
        except UserError as error:
            raise UserError(
                f"{path} has directions for different layers, which are not orthogonal to each other; "
                "choose another start"
            ) from error
    return rows
