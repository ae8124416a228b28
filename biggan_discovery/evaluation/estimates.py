"""A figure and how well it is known."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from biggan_discovery.errors import UserError


class Estimate(NamedTuple):
    """A mean over samples and its standard error."""

    mean: float
    standard_error: float


def estimate(values: Tensor) -> Estimate:
    """Mean and standard error of independent values (N,), N ≥ 2."""
    values = values.double()
    return Estimate(values.mean().item(), (values.std() / len(values) ** 0.5).item())


def estimates(values: Tensor) -> list[Estimate]:
    """The same for every column of values (N, columns): one estimate for each direction."""
    return [estimate(column) for column in values.T]


def ratio(values: Tensor, reference: Tensor) -> Estimate:
    """Ratio of the means of values and reference (N,) on the same N samples, with its jackknife standard error."""
    values, reference = values.double(), reference.double()
    count = len(values)
    without_one = (values.sum() - values) / (reference.sum() - reference)
    spread = (without_one - without_one.mean()).square().sum() * (count - 1) / count
    return Estimate((values.sum() / reference.sum()).item(), spread.sqrt().item())


def check_samples(samples: int, what: str = "samples") -> None:
    """Refuse a number of samples that gives no standard error.

    Raises:
        UserError: below 2.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise UserError(f"{what} is {samples!r}; a standard error needs a whole number, 2 or more")
