"""What an objective of directions is: what it evaluates around each sample, and what the images say."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import Batch, forward_batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.derivatives import Images
from biggan_discovery.objectives.samples import Samples


@dataclass(frozen=True)
class Objective:
    """An objective of the coefficients w of G(z + wQ, y), which a search over orthonormal Q minimises.

    A new objective is one file with such an object, and one line in `objectives.table`. It is then a `--method`, is
    judged on held-out samples by `evaluate`, and is solved by Adam; with `matrices` by joint diagonalization too.

    Attributes:
        title: as tables call it, such as "Hessian Penalty".
        description: as directions files call it: of what, and how it is reduced.
        meaning: what it measures, one sentence.
        paper: authors and year.
        evaluations: from samples and ε to coefficients (M, N, ndirs): the M points around each of the N samples.
        of_images: from the images (M, N, C, H, W) at these points and ε to values (N,).
        matrices: class of the symmetric matrices that are all diagonal where the objective is least; an object of it
            measures those of one search. None where there are none, and then joint diagonalization refuses the
            objective by name.
        defaults: default settings where the generator's own do not suit the objective.
        most_batch: more samples per step than this are not the default.
        zero_path_size: whether a path size of 0 makes sense.

    Example:
        >>> samples = draw(generator, [0], 4, count=8, probes=2, path_size=5, seed=0, stream=Stream.SEARCH, step=0)
        >>> HESSIAN_PENALTY(generator, Q, samples, epsilon=0.1).shape
        torch.Size([8])
    """

    title: str
    description: str
    meaning: str
    paper: str
    evaluations: Callable[[Samples, float], Tensor]
    of_images: Callable[[Tensor, float], Tensor]
    matrices: type[Matrices] | None = None
    defaults: Mapping[str, float] = field(default_factory=dict)
    most_batch: int | None = None
    zero_path_size: bool = False

    def __post_init__(self) -> None:
        if self.matrices is not None and inspect.isabstract(self.matrices):
            missing = ", ".join(sorted(self.matrices.__abstractmethods__))
            raise TypeError(f"the matrices of {self.title} lack {missing}")

    def passes(self, probes: int) -> int:
        """Images that go through the generator for each sample."""
        empty = torch.zeros(1, 1)
        return len(self.evaluations(Samples(empty, empty[0].long(), empty, torch.ones(probes, 1, 1)), 1.0))

    def __call__(
        self,
        generator: FrozenGenerator,
        Q: Tensor,
        samples: Samples,
        epsilon: float,
        layers: LayerRange | str = "all",
        *,
        batch: Batch | None = None,
    ) -> Tensor:
        """The objective of the image at each sample.

        Args:
            generator: the frozen network.
            Q: (ndirs, z_dim) rows; gradients flow to them.
            samples: where to evaluate, see `draw`.
            epsilon: finite-difference step in w.
            layers: which layers of the generator see z + wQ; the others see z.
            batch: images that go through the generator together. Defaults to all where a gradient is wanted, else to
                `forward_batch`.

        Returns:
            (N,).
        """
        z, y = self.latents(generator, Q, samples, epsilon, layers)
        if batch is None:
            batch = Batch(len(z)) if torch.is_grad_enabled() and z.requires_grad else forward_batch(generator)
        images = torch.cat(list(batch.map(generator, z, y)))
        return self.of_rows(images, len(z) // len(samples.z), epsilon)

    def latents(
        self, generator: FrozenGenerator, Q: Tensor, samples: Samples, epsilon: float, layers: LayerRange | str
    ) -> tuple[Tensor, Tensor]:
        """z and y of all evaluations, those of a sample one after the other; arguments as above."""
        w = self.evaluations(samples, epsilon).transpose(0, 1)
        z, y = (each.repeat_interleave(w.shape[1], dim=0) for each in (samples.z, samples.y))
        # Gradients of evaluations nearly cancel: summed in float64, they do not show how samples were split.
        shifts = (w.flatten(0, 1).double() @ Q.double()).to(z.dtype)
        return generator.shift(z, shifts, layers), y

    def of_rows(self, images: Tensor, evaluations: int, epsilon: float) -> Tensor:
        """Values (N,) from images in the order of `latents`, so many for each sample."""
        return self.of_images(images.unflatten(0, (-1, evaluations)).transpose(0, 1), epsilon)


class Measured(NamedTuple):
    """What one latent tells a joint diagonalization.

    Attributes:
        value: the objective along the axes.
        evaluations: of the generator; a forward pass, a backward pass and a tangent of one image count 1 each.
        gram: (n, n) float64 on the CPU, mean over pixels of the products of first derivatives.
        matrices: on the CPU, (m, n, n) to keep; or (entries, entries) float64, second moments of the entries of
            matrices that are too many to keep, to be added up.
    """

    value: float
    evaluations: int
    gram: Tensor
    matrices: Tensor


class Matrices(abc.ABC):
    """Symmetric matrices of latents, for which the best frame is that in which all are diagonal.

    Attributes:
        settings: names of the settings of joint diagonalization that `measure` reads, of "epsilon" and "sketches".
    """

    settings: ClassVar[tuple[str, ...]]

    @staticmethod
    @abc.abstractmethod
    def default_samples(axes: int) -> int:
        """Latents to measure where the user gives no number."""

    @staticmethod
    @abc.abstractmethod
    def kept(sketches: int) -> int:
        """Matrices that are kept of each latent; 0 where second moments are added up instead."""

    @abc.abstractmethod
    def measure(
        self,
        images: Images,
        axes: Tensor,
        *,
        epsilon: float,
        sketches: int,
        random: np.random.Generator,
        batch: Batch,
    ) -> Measured:
        """Measure the matrices of one latent.

        Args:
            images: from shifts (N, n) along the axes to images (N, C, H, W), around the latent.
            axes: the identity (n, n) in the type and on the device of the shifts.
            epsilon: finite-difference step.
            sketches: random combinations of pixels; 0 for every pixel by itself.
            random: the latent's own numbers, from their beginning.
            batch: images at once.
        """


def flat(images: Images) -> Images:
    """The same images as rows (N, P), as the functions of `numerics.derivatives` take them."""
    return lambda shifts: images(shifts).flatten(1)


def product(rows: Tensor) -> Tensor:
    """Mean over elements of the products of rows (n, P): (n, n) float64 on the CPU."""
    return (rows @ rows.T).cpu().double() / rows.shape[1]


def off_diagonal(matrices: Tensor) -> float:
    """Sum of squares off the diagonal of (..., n, n)."""
    return (matrices.square().sum() - matrices.diagonal(dim1=-2, dim2=-1).square().sum()).item()
