"""Estimates with standard errors."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from biggan_discovery.errors import UserError


class Estimate(NamedTuple):
    """A mean over samples and its standard error, 0 where the figure is exact."""

    mean: float
    standard_error: float = 0.0


class Ratio(NamedTuple):
    """A ratio to random frames with its standard error, and the two parts whose squares add up to the latter's.

    Attributes:
        mean: the ratio.
        standard_error: of the ratio.
        of_samples: the part of the samples, which all frames share.
        of_frames: the part of the random frames.
        frames: how many there are.
    """

    mean: float
    standard_error: float
    of_samples: float
    of_frames: float
    frames: int


def estimate(values: Tensor) -> Estimate:
    """Mean and standard error of independent values (N,), N ≥ 2."""
    values = values.double()
    return Estimate(values.mean().item(), (values.std() / len(values) ** 0.5).item())


def estimates(values: Tensor) -> list[Estimate]:
    """The same for every column of values (N, columns): one estimate for each direction."""
    return [estimate(column) for column in values.T]


def ratio(values: Tensor, reference: Tensor) -> Ratio:
    """Ratio of the mean of values to that of random frames on the same samples, with its standard error.

    Samples and frames are drawn independently, and every frame sees every sample, so the variance of the ratio has a
    part of the samples and a part of the frames (a crossed design; Owen 2007, "The pigeonhole bootstrap"). Leaving out
    one sample at a time gives the former together with what sample and frame do to each other, σ²/FN; leaving out one
    frame at a time gives the latter together with the same. It is counted once, with the samples; σ² is the variance
    of the residuals of a two-way layout.

    Args:
        values: (N,) of the directions.
        reference: (F, N) of F random frames; N ≥ 2, F ≥ 2.

    Raises:
        UserError: fewer samples or frames.
    """
    values, reference = values.double(), reference.double()
    frames, samples = reference.shape
    check_samples(frames, "frames")
    check_samples(samples)
    total, of_sample, of_frame = values.sum(), reference.mean(dim=0), reference.mean(dim=1)
    mean = total / of_sample.sum()
    without_sample = (total - values) / (of_sample.sum() - of_sample)
    without_frame = total / samples / ((of_frame.sum() - of_frame) / (frames - 1))
    residuals = reference - of_sample - of_frame[:, None] + reference.mean()
    interaction = residuals.square().sum() / ((frames - 1) * (samples - 1)) / (frames * samples)
    of_samples = _jackknife(without_sample)
    of_frames = (_jackknife(without_frame) - interaction * (mean / reference.mean()) ** 2).clamp_min(0)
    error = (of_samples + of_frames).sqrt()
    return Ratio(mean.item(), error.item(), of_samples.sqrt().item(), of_frames.sqrt().item(), frames)


def paired_ratio(values: Tensor, reference: Tensor) -> Estimate:
    """Ratio of two means over the same samples, with its standard error over these (the jackknife).

    What makes a sample hard for both cancels, so the ratio is better known than each mean.

    Args:
        values: (N,), N ≥ 2.
        reference: (N,) at the same samples.
    """
    values, reference = values.double(), reference.double()
    without_one = (values.sum() - values) / (reference.sum() - reference)
    return Estimate((values.sum() / reference.sum()).item(), _jackknife(without_one).sqrt().item())


def _jackknife(without_one: Tensor) -> Tensor:
    """Variance of an estimate from its values (N,) without one of the N observations at a time."""
    count = len(without_one)
    return (without_one - without_one.mean()).square().sum() * (count - 1) / count


def check_samples(samples: int, what: str = "samples") -> None:
    """Refuse a number of samples that gives no standard error.

    Raises:
        UserError: below 2.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise UserError(f"{what} is {samples!r}; a standard error needs an integer of 2 or more")
