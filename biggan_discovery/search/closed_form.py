"""Directions that are computed, not searched for: what such methods give, and what they share."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ClosedForm:
    """Directions and what the method knows about them.

    Attributes:
        A: (ndirs, coordinates of the search space) float32 on the CPU: rows of length 1, the strongest first, with the
            signs that `fixed_signs` gives.
        values: how strong each direction is, by what the method calls it; lists of ndirs numbers.
        evaluations: what it cost in images through the generator; a forward pass, a backward pass and a forward-mode
            tangent count as one each.
    """

    A: Tensor
    values: dict[str, list[float]]
    evaluations: int


def fixed_signs(rows: Tensor) -> Tensor:
    """Rows (n, dim) with the sign that makes the entry of largest magnitude positive, so that two runs compare."""
    return rows * rows.gather(1, rows.abs().argmax(dim=1, keepdim=True)).sign()
