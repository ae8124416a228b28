"""Directions for a region of the image: largest change inside, least outside (ReSeFa, Zhu et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biggan_discovery.progress import Progress
from biggan_discovery.search.method import MICRO_BATCH, ClosedForm, Found, Settings, setting
from biggan_discovery.search.settings import ORTHOGONALIZE

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from biggan_discovery.generators import FrozenGenerator

REGION: dict[str, Any] = {
    "help": "Box x0,y0,x1,y1 from 0 to 1, or upper, lower, left, right, centre.",
    "default": "none",
}
MASK: dict[str, Any] = {"help": "Picture file instead, white inside.", "default": "none"}


@dataclass(frozen=True, kw_only=True)
class InRegion(Settings):
    """Settings of methods for a region."""

    region: str | None = setting(**REGION)
    mask: str | None = setting(**MASK)
    samples: int = setting("Number of latents to measure.", default="16", least=1, most=10**9)
    tau: float = setting("Weight τ of the length of the step.", default="0.01", above=0)
    micro_batch: int | None = setting(**MICRO_BATCH)

    def header(self) -> dict[str, Any]:
        """See `Settings.header`; with the content of the mask."""
        header = super().header()
        if self.mask is not None:
            import hashlib

            with Path(self.mask).open("rb") as file:
                header["mask_sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
        return header


@dataclass(frozen=True, kw_only=True)
class RegionSettings(InRegion):
    """Settings of the method region."""

    orthogonalize: str = setting("Orthonormalization of A to Q.", default="none", choices=ORTHOGONALIZE)


class ReSeFa(ClosedForm):
    """Generalised eigenvectors of JᵀJ of the pixels inside a region and of those outside.

    Row q is a stationary point of ‖J_in q‖² / (‖J_out q‖² + τs‖q‖²), where both products are means over latents and s
    is what a random direction of length 1 does to the whole image; τ keeps directions that do nothing anywhere from
    coming first (Zhu et al. 2022, "Region-Based Semantic Factorization in GANs", section 3.2). They are not orthogonal
    to each other, so Q is not orthonormalized by default.
    """

    paper = "Zhu et al. 2022"
    Settings = RegionSettings

    def defaults(self, generator: FrozenGenerator, layers: Any, asked: dict[str, Any]) -> dict[str, Any]:
        """16 samples, τ = 0.01, no orthonormalization."""
        return super().defaults(generator, layers, asked) | {"samples": 16, "tau": 0.01, "orthogonalize": "none"}

    def check(self, generator: FrozenGenerator, settings: RegionSettings) -> None:
        """Check that the region is valid and that the latents fit in memory."""
        super().check(generator, settings)
        check_region(generator, settings)

    def find(self, generator: FrozenGenerator, settings: RegionSettings, *, quiet: bool) -> Found:
        """Compute the directions; the values are measured at other latents."""
        from biggan_discovery.directions.change_maps import inside_shares
        from biggan_discovery.numerics.eigenvectors import fixed_signs, strongest_ratio
        from biggan_discovery.numerics.symmetric import ridge

        weights = weights_of(generator, settings)
        (inside, outside), cost = region_grams(generator, settings, (weights, 1 - weights), quiet=quiet)
        ratios, vectors = strongest_ratio(inside, outside + ridge(inside + outside, settings.tau))
        A = fixed_signs(vectors.T[: settings.directions]).float()
        maps, judged = held_out_maps(generator, settings, A, quiet=quiet)
        values = {
            "eigenvalues": ratios[: settings.directions].clamp(min=0).tolist(),
            "region_share": inside_shares(maps, weights).tolist(),
            "random_share": (inside.trace() / (inside + outside).trace()).item(),
        }
        return Found(A, values, cost + judged)


def check_region(generator: FrozenGenerator, settings: InRegion) -> None:
    """Raise `UserError` if the region is invalid, or the latents do not fit in memory."""
    from biggan_discovery.objectives.samples import check_room_for_samples

    weights_of(generator, settings)
    check_room_for_samples(generator, settings.samples, 0, 1, "--samples")


def weights_of(generator: FrozenGenerator, settings: InRegion) -> Float[Tensor, "H W"]:
    """The region of the settings, see `region_weights`."""
    from biggan_discovery.directions.region import region_of

    return region_of(generator, settings.region, settings.mask).weights


def region_grams(
    generator: FrozenGenerator,
    settings: InRegion,
    weights: tuple[Float[Tensor, "H W"], ...],
    *,
    quiet: bool,
) -> tuple[Float[Tensor, "K n n"], int]:
    """Mean JᵀWJ over latents for the weights of some regions, (K, n, n), and its cost; see `weighted_grams`."""
    import torch

    from biggan_discovery.directions.shifts import images_near
    from biggan_discovery.errors import UserError
    from biggan_discovery.generators.batching import gradient_batch
    from biggan_discovery.numerics.derivatives import Derivative, weighted_grams
    from biggan_discovery.numerics.streams import Stream
    from biggan_discovery.objectives.samples import draw_latents

    z, y = draw_latents(generator, settings.classes, count=settings.samples, seed=settings.seed, stream=Stream.SEARCH)
    of_pixels = torch.stack([each.expand(generator.channels, -1, -1).flatten() for each in weights]).to(z)
    batch, derivative = gradient_batch(generator, settings.micro_batch), Derivative()
    total, evaluations = torch.zeros(()), 0
    with Progress(len(z), "measuring derivatives", unit="latent", quiet=quiet) as progress:
        for point, label in zip(z, y, strict=True):
            grams, cost = weighted_grams(
                *images_near(generator, point, label, settings.layers), of_pixels, batch, derivative
            )
            total, evaluations = total + grams / len(z), evaluations + cost
            progress.advance(1)
    if not total.isfinite().all():
        raise UserError("the generator's derivatives are not finite at one of the latents; try another --seed")
    if not total.any():
        raise UserError("images do not change with z in these layers, so no direction changes a region")
    return total, evaluations


def held_out_maps(
    generator: FrozenGenerator, settings: InRegion, rows: Tensor, *, quiet: bool
) -> tuple[Float[Tensor, "ndirs H W"], int]:
    """Mean change maps of directions at as many latents as they were found on, which are others; and the cost."""
    import torch

    from biggan_discovery.directions.change_maps import change_maps, change_maps_cost
    from biggan_discovery.directions.space import pad
    from biggan_discovery.numerics.streams import Stream
    from biggan_discovery.objectives.samples import draw_latents

    count, layers = settings.samples, settings.layers
    z, y = draw_latents(generator, settings.classes, count=count, seed=settings.seed, stream=Stream.HELD_OUT_EFFECTS)
    Q = pad(rows, generator.search_space(layers), generator.z_dim)
    cost = change_maps_cost(len(Q), samples=count)
    with Progress(cost, "measuring at other latents", unit="image", quiet=quiet) as progress:
        maps = torch.zeros(())
        for each in change_maps(generator, Q, z, y, layers=layers, progress=progress):
            maps = maps + each / count
    return maps, cost
