"""Definition of an objective: the points it evaluates around each sample, and its value from their images."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.base import Labels
from biggan_discovery.generators.batching import Batch, forward_batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.arithmetic import in_float64
from biggan_discovery.numerics.derivatives import Images
from biggan_discovery.objectives.samples import Samples


@dataclass(frozen=True)
class Objective:
    """An objective of the coefficients w of G(z + wQ, y), minimised over orthonormal Q.

    A new objective is one file with such an object and one line in `objectives.table`. It is then available as a
    `--method`, evaluated on held-out samples by `evaluate`, and minimised by Adam; with `matrices`, also by joint
    diagonalization.

    Attributes:
        title: name in tables, such as "Hessian Penalty".
        description: description in directions files: of what, and how it is reduced.
        meaning: what it measures, in one sentence.
        paper: authors and year.
        evaluations: from samples and ε to coefficients (M, N, ndirs): M points around each of N samples.
        of_images: from the images (M, N, C, H, W) at these points and ε to values (N,).
        matrices: class of the symmetric matrices that are all diagonal at the minimum of the objective; one instance
            measures the matrices of one search. If None, joint diagonalization refuses the objective by name.
        defaults: default settings that replace those of the generator.
        most_batch: upper limit of the default number of samples per step.
        zero_path_size: whether a path size of 0 is allowed.

    Example:
        >>> samples = draw(generator, [0], 4, count=8, probes=2, path_size=5, seed=0, stream=Stream.SEARCH, step=0)
        >>> HESSIAN_PENALTY(generator, Q, samples, epsilon=0.1).shape
        torch.Size([8])
    """

    title: str
    description: str
    meaning: str
    paper: str
    evaluations: Callable[[Samples, float], Float[Tensor, "M N ndirs"]]
    of_images: Callable[[Float[Tensor, "M N C H W"], float], Float[Tensor, " N"]]
    matrices: type[Matrices] | None = None
    defaults: Mapping[str, float] = field(default_factory=dict)
    most_batch: int | None = None
    zero_path_size: bool = False

    def __post_init__(self) -> None:
        if self.matrices is not None and inspect.isabstract(self.matrices):
            missing = ", ".join(sorted(self.matrices.__abstractmethods__))
            raise TypeError(f"the matrices of {self.title} do not implement {missing}")

    def passes(self, probes: int) -> int:
        """Number of images generated per sample."""
        empty = torch.zeros(1, 1)
        return len(self.evaluations(Samples(empty, empty[0].long(), empty, torch.ones(probes, 1, 1)), 1.0))

    def __call__(
        self,
        generator: FrozenGenerator,
        Q: Float[Tensor, "ndirs z_dim"],
        samples: Samples,
        epsilon: float,
        layers: LayerRange | str = "all",
        *,
        batch: Batch | None = None,
    ) -> Float[Tensor, " N"]:
        """Evaluate the objective at each sample.

        Args:
            generator: the frozen network.
            Q: (ndirs, z_dim); differentiable.
            samples: where to evaluate; see `draw`.
            epsilon: finite-difference step in w.
            layers: layers of the generator that see z + wQ; the others see z.
            batch: images that go through the generator together. Defaults to all if a gradient is required, else to
                `forward_batch`.

        Returns:
            (N,), one value per sample.
        """
        z, y = self.latents(generator, Q, samples, epsilon, layers)
        if batch is None:
            batch = Batch(len(z)) if torch.is_grad_enabled() and z.requires_grad else forward_batch(generator)
        images = torch.cat(list(batch.map(generator, z, y)))
        return self.of_rows(images, len(z) // len(samples.z), epsilon)

    def latents(
        self,
        generator: FrozenGenerator,
        Q: Float[Tensor, "ndirs z_dim"],
        samples: Samples,
        epsilon: float,
        layers: LayerRange | str,
    ) -> tuple[Float[Tensor, "NM z_dim"] | Float[Tensor, "NM num_layers z_dim"], Labels]:
        """Latents and classes of all evaluations, grouped by sample; arguments as in `__call__`."""
        w = self.evaluations(samples, epsilon).transpose(0, 1)
        z, y = (each.repeat_interleave(w.shape[1], dim=0) for each in (samples.z, samples.y))
        # Gradients of evaluations nearly cancel: summed in float64, they do not show how samples were split.
        shifts = (in_float64(w.flatten(0, 1)) @ in_float64(Q)).to(z)
        return generator.shift(z, shifts, layers), y

    def of_rows(self, images: Float[Tensor, "NM C H W"], evaluations: int, epsilon: float) -> Float[Tensor, " N"]:
        """Values (N,) from images in the order of `latents`, with `evaluations` images per sample."""
        return self.of_images(images.unflatten(0, (-1, evaluations)).transpose(0, 1), epsilon)


class Measured(NamedTuple):
    """Measurements at one latent for joint diagonalization.

    Attributes:
        value: the objective along the axes.
        evaluations: generator evaluations; a forward pass, a backward pass and a tangent of one image count 1 each.
        gram: (n, n) float64 on the CPU, mean over pixels of the products of first derivatives.
        matrices: on the CPU, either (m, n, n), matrices to store; or (entries, entries) float64, second moments of the
            entries of matrices, to be accumulated because there are too many to store.
    """

    value: float
    evaluations: int
    gram: Float64[Tensor, "n n"]
    matrices: Float[Tensor, "m n n"] | Float64[Tensor, "entries entries"]


class Matrices(abc.ABC):
    """Symmetric matrices at latents; the optimal frame makes all of them diagonal.

    Attributes:
        settings: names of the settings that `measure` uses, "epsilon" or "sketches"; it gets None for others.
    """

    settings: ClassVar[tuple[str, ...]]

    @staticmethod
    @abc.abstractmethod
    def default_samples(axes: int) -> int:
        """Number of latents that a search measures first; it adds more for as long as that helps."""

    @staticmethod
    @abc.abstractmethod
    def kept(sketches: int | None) -> int:
        """Number of matrices that `measure` returns for a latent; 0 if it returns entries to accumulate moments of."""

    @abc.abstractmethod
    def measure(
        self,
        images: Images,
        axes: Float[Tensor, "n n"],
        *,
        epsilon: float | None,
        sketches: int | None,
        random: np.random.Generator,
        batch: Batch,
    ) -> Measured:
        """Measure the matrices at one latent.

        Args:
            images: from shifts (N, n) along the axes, around the latent, to images (N, C, H, W); see `flat`.
            axes: (n, n) identity, with the dtype and device of the shifts.
            epsilon: finite-difference step; None if not in `settings`.
            sketches: number of random linear combinations of pixels, 0 for all pixels; None if not in `settings`.
            random: random numbers of this latent.
            batch: images that go through the generator together.
        """


def flat(images: Images) -> Images:
    """The same images as rows (N, P), which the functions of `numerics.derivatives` take."""
    return lambda shifts: images(shifts).flatten(1)


def product(rows: Float[Tensor, "n P"]) -> Float64[Tensor, "n n"]:
    """Mean over elements of the products of rows, (n, n) float64 on the CPU."""
    return (rows @ rows.T).cpu().double() / rows.shape[1]


def off_diagonal(matrices: Float[Tensor, "... n n"]) -> float:
    """Sum of squares of off-diagonal entries."""
    return (matrices.square().sum() - matrices.diagonal(dim1=-2, dim2=-1).square().sum()).item()
