"""The optimisation of `invert`: the latent and the class whose image is nearest to a given one."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import avg_pool2d, one_hot

from biggan_discovery.directions.shifts import images_near
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.lpips_distance import Distance
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.base import Labels
from biggan_discovery.generators.batching import forward_batch, gradient_batch
from biggan_discovery.generators.labels import placed
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.derivatives import Derivative, weighted_grams
from biggan_discovery.numerics.streams import Stream, random_numbers
from biggan_discovery.rendering.latents import sample_classes

_DRAWS = 128  # samples among which starts are chosen; at least one of each class
_COARSEST = 8  # pixels; smaller images are not averaged further
_PRIOR = 0.1  # κ of `Point.loss`
_FRAMES = 2  # starts at which JᵀJ is measured
_FLOOR = 0.01  # of its eigenvalues, relative to their mean
_HISTORY = 50  # steps that L-BFGS remembers
_FARTHEST = 8.0  # of v; in float64, the distribution function is 1 beyond
_OF_START = 3.0  # logit of the start's class over the others
_TOLERANCE = 1e-9  # of the gradient and the change of a loss of about 1
_LEAST = 1e-12


class _StopError(Exception):
    """Ends L-BFGS within a step."""


class Point(NamedTuple):
    """A latent and a class, and how far their image is from the target.

    Attributes:
        v: (1, size) standard normal coordinates of the latent, see `Fit.z`; on the CPU.
        y: (1,) class index, or (1, num_classes) class weights.
        apart: see `Fit.apart`.
    """

    v: Float64[Tensor, "1 size"]
    y: Labels
    apart: float

    @property
    def loss(self) -> float:
        """log(apart) + κ mean(v²): to a constant, the negative logarithm of the posterior density of v.

        It is that of normal differences whose variance is unknown, per number of independent ones among them; κ stands
        for how many there are.
        """
        return math.log(max(self.apart, _LEAST)) + _PRIOR * self.v.square().mean().item()


def pyramid(images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N P"]:
    """Features whose squared distance is the mean squared difference of pixels, averaged over an image pyramid.

    Its levels are the images and their means over 2 × 2, 4 × 4, ... pixels, down to sides of 4 to 7.

    Example:
        >>> pyramid(torch.ones(1, 3, 16, 16)).square().sum()
        tensor(1.)
    """
    levels = [images]
    while min(levels[-1].shape[2:]) >= _COARSEST:
        levels.append(avg_pool2d(levels[-1], 2))
    return torch.cat([each.flatten(1) / math.sqrt(len(levels) * each[0].numel()) for each in levels], dim=1)


class Fit:
    """How far images of a generator are from a target, and how to come nearer.

    A latent is the prior's at normal coordinates v, so that it is always one that the prior gives.

    Args:
        generator: the frozen network.
        target: (1, C, R, R) in [-1, 1], on the generator's device and in its dtype.
        distance: perceptual distance to add to that of pixels. Defaults to none.
        weight: its weight.
    """

    def __init__(
        self,
        generator: FrozenGenerator,
        target: Float[Tensor, "1 C R R"],
        distance: Distance | None = None,
        weight: float = 0.0,
    ):
        self._generator, self._target = generator, target
        self._distance, self._weight = distance, weight
        self._features = pyramid(target)

    @property
    def size(self) -> int:
        """Number of coordinates v."""
        return self._generator.latent_size

    def z(self, v: Float64[Tensor, "N size"]) -> Float[Tensor, "N z_dim"]:
        """Latents at standard normal coordinates; differentiable."""
        return self._generator.latents(torch.special.ndtr(v.clamp(-_FARTHEST, _FARTHEST)))

    @torch.no_grad()
    def image(self, point: Point) -> Float[Tensor, "1 C R R"]:
        """The image of a point."""
        return self._generator(self.z(point.v), point.y)

    def psnr(self, point: Point) -> float:
        """Peak signal-to-noise ratio of a point's image in dB; infinite if it is the target."""
        error = (self.image(point).clamp(-1, 1) - self._target).cpu().double().square().mean().item()
        return 10 * math.log10(4 / error) if error else math.inf

    def apart(self, images: Float[Tensor, "N C R R"]) -> Float64[Tensor, " N"]:
        """Distances of images from the target, on the CPU; differentiable."""
        found = (pyramid(images) - self._features).square().sum(dim=1)
        if self._distance is not None:
            found = found + self._weight * self._distance(images, self._target.expand_as(images))
        return found.cpu().double()

    @torch.no_grad()
    def starts(self, classes: Sequence[Class], count: int, seed: int, each: Callable[[int], bool]) -> list[Point]:
        """The nearest of many samples of the prior, which take the classes in turn.

        Args:
            classes: the classes.
            count: how many to return.
            seed: random seed.
            each: called with numbers of images, `draws` in all; whether to choose among those so far.
        """
        generator, number = self._generator, draws(classes)
        drawn = random_numbers(seed, Stream.INVERSION).standard_normal((number, self.size))
        v, y = torch.from_numpy(drawn), placed(sample_classes(classes, number, generator.num_classes), generator)
        parts: list[Tensor] = []
        for part in forward_batch(generator).map(lambda v, y: self.apart(generator(self.z(v), y)), v, y):
            parts.append(part)
            if each(len(part)):
                break
        apart = torch.cat(parts)
        nearest = apart.argsort(stable=True)[:count].tolist()
        return [Point(v[[each]], y[[each]], apart[each].item()) for each in nearest]

    def frame(self, starts: Sequence[Point]) -> Float64[Tensor, "size size"]:
        """Rows along the eigenvectors of JᵀJ in v, each as long as changes the image equally (Wang & Ponce 2021).

        JᵀJ is the mean over the first starts. Its smallest eigenvalues are raised, so that no row is very long.

        Raises:
            UserError: latents or images are not differentiable, or images do not change.
        """
        self._check_differentiable(starts[0])
        gram, weights = torch.zeros(self.size, self.size, dtype=torch.float64), torch.ones_like(self._features)
        for start in starts[:_FRAMES]:
            images, axes = images_near(self._generator, self.z(start.v)[0], start.y[0])

            def features(shifts: Tensor, images: Callable[[Tensor], Tensor] = images) -> Tensor:
                return pyramid(images(shifts).unflatten(1, self._target.shape[1:]))

            measured, _ = weighted_grams(features, axes, weights, gradient_batch(self._generator), Derivative())
            slopes = torch.autograd.functional.jacobian(lambda v: self.z(v[None])[0], start.v[0])
            slopes = slopes.cpu().double()
            gram += slopes.T @ measured[0] @ slopes
        values, vectors = torch.linalg.eigh(gram)
        if not 0 < values.mean() < math.inf:
            raise UserError(f"images of {self._generator.name} do not change with the latent, so none can be fitted")
        lengths = (values.clamp(min=0) + _FLOOR * values.mean()).rsqrt()
        return vectors.T * (lengths / lengths.mean())[:, None]

    def lower(
        self,
        start: Point,
        frame: Float64[Tensor, "size size"],
        steps: int,
        each: Callable[[Point], bool],
        *,
        mixed: bool,
    ) -> Point:
        """Lower `Point.loss` from a start by L-BFGS (Liu & Nocedal 1989).

        Its logarithm is replaced by the tangent at the start, which is nowhere below it; so a further call from the
        result lowers it further.

        Args:
            start: where to begin.
            frame: rows that the steps of v are combined from.
            steps: evaluations of the loss, about.
            each: called with the point of each evaluation; whether to stop.
            mixed: fit class weights too: a softmax that begins near the class of the start, or at its weights.

        Returns:
            The best point.
        """
        generator, best, scale = self._generator, start, max(start.apart, _LEAST)
        logits = self._logits(start.y) if mixed else torch.zeros(1, 0)
        w = torch.zeros(1, self.size + logits.shape[1], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [w],
            max_iter=steps,
            max_eval=steps,
            history_size=_HISTORY,
            tolerance_grad=_TOLERANCE,
            tolerance_change=_TOLERANCE,
            line_search_fn="strong_wolfe",
        )

        def evaluate() -> Tensor:
            nonlocal best
            optimizer.zero_grad()
            v = start.v + w[:, : self.size] @ frame
            y = placed((logits + w[:, self.size :]).softmax(dim=1), generator) if mixed else start.y
            apart = self.apart(generator(self.z(v), y))[0]
            loss = apart / scale + _PRIOR * v.square().mean()
            loss.backward()
            point = Point(v.detach(), y.detach(), apart.item())
            best = min(best, point, key=lambda each: each.loss)
            if each(point):
                raise _StopError
            return loss

        with contextlib.suppress(_StopError), torch.enable_grad():
            optimizer.step(evaluate)  # pyright: ignore[reportArgumentType]
        return best

    def _logits(self, y: Labels) -> Float64[Tensor, "1 num_classes"]:
        """Coordinates of class weights, before their softmax."""
        if y.is_floating_point():
            return y.cpu().double().clamp(min=_LEAST).log()
        return _OF_START * one_hot(y.cpu(), self._generator.num_classes).double()

    def _check_differentiable(self, point: Point) -> None:
        with torch.enable_grad():
            z = self.z(point.v.clone().requires_grad_())
            images = self._generator(z, point.y)
        for what, tensor in (("the prior", z), ("the images", images)):
            if not tensor.requires_grad:
                raise UserError(
                    f"{what} of {self._generator.name} cannot be differentiated, which inversion needs; return tensors "
                    "that are functions of the given ones, without .detach() or torch.no_grad()"
                )


def draws(classes: Sequence[Class]) -> int:
    """Number of samples among which `Fit.starts` chooses."""
    return max(_DRAWS, len(classes))
