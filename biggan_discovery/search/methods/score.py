"""The direction that raises a user's score of images (GANalyze, Goetschalckx et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biggan_discovery.errors import UserError
from biggan_discovery.progress import Progress
from biggan_discovery.search.method import ClosedForm, Found, Settings, setting

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from biggan_discovery.generators import FrozenGenerator


@dataclass(frozen=True, kw_only=True)
class ScoreSettings(Settings):
    """Settings of the method score."""

    score: str | None = setting("Function from images to scores, my_score.py:f or module:f.", default="none")
    samples: int = setting("Number of latents to measure.", default="32", least=1, most=10**9)
    reach: float = setting("Step of differences.", default="0.5", above=0)

    def header(self) -> dict[str, Any]:
        """See `Settings.header`; with the content of a file of code."""
        import hashlib

        header, file = super().header(), Path(str(self.score).rpartition(":")[0])
        if file.is_file():
            header["score_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        return header


class Score(ClosedForm):
    """The direction of the mean gradient of S(G(z, y)) with respect to z, along which the score rises fastest.

    To first order it is the direction of length 1 that GANalyze finds by gradient descent (Goetschalckx et al. 2019,
    "GANalyze: Toward Visual Definitions of Cognitive Image Properties", equation 1). S gets images (N, 3, R, R) in
    [-1, 1] and returns N numbers. Where it is not differentiable, differences of `reach` to both sides of each
    coordinate take the place of gradients.
    """

    paper = "Goetschalckx et al. 2019"
    Settings = ScoreSettings

    def defaults(self, generator: FrozenGenerator, layers: Any, asked: dict[str, Any]) -> dict[str, Any]:
        """One direction, 32 samples, differences of 0.5."""
        return {"directions": 1, "samples": 32, "reach": 0.5}

    def check(self, generator: FrozenGenerator, settings: ScoreSettings) -> None:
        """Check that there is a score and one direction, and that latents fit in memory."""
        from biggan_discovery.objectives.samples import check_room_for_samples

        if settings.score is None:
            raise UserError("the method score needs --score, such as my_score.py:f")
        if settings.directions != 1:
            raise UserError(f"directions is {settings.directions}; a score has 1 direction")
        check_room_for_samples(generator, settings.samples, 0, 1, "--samples")
        _checked_score(settings.score)

    def find(self, generator: FrozenGenerator, settings: ScoreSettings, *, quiet: bool) -> Found:
        """The direction; how much and how often the score rises is measured at other latents."""
        import torch
        from torch.nn.functional import normalize

        from biggan_discovery.directions.space import pad
        from biggan_discovery.numerics.streams import Stream
        from biggan_discovery.objectives.samples import draw_latents

        score = _checked_score(str(settings.score))
        count, layers = settings.samples, settings.layers
        place = {"count": count, "seed": settings.seed}
        z, y = draw_latents(generator, settings.classes, **place, stream=Stream.SEARCH)
        mean, cost = torch.zeros(()), 0
        with Progress(count, "measuring the score", unit="latent", quiet=quiet) as progress:
            for point, label in zip(z, y, strict=True):
                gradient, evaluations = _gradient(generator, score, point, label, settings)
                mean, cost = mean + gradient / count, cost + evaluations
                progress.advance(1)
        if not mean.isfinite().all() or not mean.any():
            raise UserError(f"{settings.score} does not change with z, or is not finite, so no direction raises it")
        A = normalize(mean[None], dim=1)
        Q = pad(A, generator.search_space(layers), generator.z_dim)
        z, y = draw_latents(generator, settings.classes, **place, stream=Stream.HELD_OUT_EFFECTS)
        step = settings.reach * Q.to(z)
        ends = torch.zeros(2, count, dtype=torch.float64)
        with torch.no_grad():
            for row in range(count):
                moved = generator.shift(z[[row, row]], torch.cat((-step, step)), layers)
                ends[:, row] = score(generator(moved, y[[row, row]]))
        rises = (ends[1] - ends[0]) / (2 * settings.reach)
        values = {
            "names": [f"raises {str(settings.score).rpartition(':')[2]}"],
            "score_per_step": rises.mean().item(),
            "score_rises": (rises > 0).double().mean().item(),
            "notes": [f"score {rises.mean():+.3g} per unit step; rises at {int((rises > 0).sum())} of {count} latents"],
        }
        return Found(A.float(), values, cost + 2 * count)


def _checked_score(text: str) -> Callable[[Tensor], Tensor]:
    """A user's function as one that is checked to return a number for each image."""
    import torch

    from biggan_discovery.generators.user_module import load_attribute, one_line

    function = load_attribute(text)
    if not callable(function):
        raise UserError(f"{text} is {type(function).__name__}; a score is a function from images to numbers")

    def score(images: Tensor) -> Tensor:
        with one_line(text.rpartition(":")[0]):
            values = torch.as_tensor(function(images))
        if values.numel() != len(images):
            raise UserError(
                f"{text} returned {tuple(values.shape)} for {len(images)} images; it should be one number each"
            )
        return values.reshape(len(images))

    return score


def _gradient(
    generator: FrozenGenerator, score: Callable[[Tensor], Tensor], z: Tensor, y: Tensor, settings: ScoreSettings
) -> tuple[Float[Tensor, " n"], int]:
    """Gradient of the score of one image with respect to a shift of its latent, float64, and the cost."""
    import torch

    from biggan_discovery.directions.region import image_size
    from biggan_discovery.directions.shifts import images_near
    from biggan_discovery.generators.batching import forward_batch

    flat, axes = images_near(generator, z, y, settings.layers)
    size = image_size(generator)

    def of_shifts(shifts: Tensor) -> Tensor:
        return score(flat(shifts).unflatten(1, (-1, *size)))

    at = torch.zeros_like(axes[:1]).requires_grad_()
    with torch.enable_grad():
        value = of_shifts(at)
    if value.requires_grad:
        gradient = torch.autograd.grad(value.sum(), at, allow_unused=True)[0]
        if gradient is not None and gradient.any():
            return gradient[0].cpu().double(), 2
    steps, batch = settings.reach * axes, forward_batch(generator)
    with torch.no_grad():
        above, below = (torch.cat(list(batch.map(of_shifts, sign * steps))).double().cpu() for sign in (1, -1))
    return (above - below) / (2 * settings.reach), 1 + 2 * len(axes)
