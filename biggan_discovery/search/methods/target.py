"""Directions that make an edit that is asked for, such as a zoom (Jahanian et al. 2020)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.regional_edits import WELL, RegionalEdit, parse_edits
from biggan_discovery.progress import Progress
from biggan_discovery.search.method import MICRO_BATCH, ClosedForm, Found, Settings, setting
from biggan_discovery.search.settings import ORTHOGONALIZE

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from biggan_discovery.generators import FrozenGenerator

JACOBIAN, FIRST_LAYER = "jacobian", "first-layer"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TargetSettings(Settings):
    """Settings of the method target."""

    target: str | None = setting(
        "Edits, such as zoom,shift-x,hue@upper; more: shift-y, rotate, brighter, contrast, saturation, warmer.",
        default="none",
    )
    samples: int = setting("Number of latents to measure.", default="16", least=1, most=10**9)
    ridge: float = setting("Weight of the length of the step.", default="0.01", above=0)
    fit: str = setting("What to fit.", default=JACOBIAN, choices=(JACOBIAN, FIRST_LAYER))
    orthogonalize: str = setting("Orthonormalization of A to Q.", default="none", choices=ORTHOGONALIZE)
    micro_batch: int | None = setting(**MICRO_BATCH)


class Target(ClosedForm):
    """Least-squares fits of J q to the tangents of wanted edits, over several latents.

    With tangent t of the edit at each image (see `numerics.tangents`), q minimises the mean of ‖Jq - t‖² + λ‖q‖². It is
    the linear walk of Jahanian et al. (2020, section 3) for small amounts, in closed form. λ is `ridge` times what a
    random direction of length 1 does. "first-layer" fits the tangent at the output of the first linear layer instead,
    at 4 × 4 pixels and z = 0, and needs no images (Spingarn-Eliezer et al. 2021, "GAN Steerability without
    optimization", section 3.1); it knows shifts, zoom and rotation, for networks in Brock's layout.
    """

    paper = "Jahanian et al. 2020"
    Settings = TargetSettings

    def defaults(self, generator: FrozenGenerator, layers: Any, asked: dict[str, Any]) -> dict[str, Any]:
        """One direction for each edit, 16 samples, a ridge of 0.01."""
        count = len(_wanted(asked.get("target")))
        own = {"samples": 16, "ridge": 0.01, "fit": JACOBIAN, "orthogonalize": "none"}
        return {"directions": count, **own}

    def check(self, generator: FrozenGenerator, settings: TargetSettings) -> None:
        """Check the edits, their regions and the memory for latents."""
        from biggan_discovery.directions.region import image_size
        from biggan_discovery.numerics.tangents import EDITS
        from biggan_discovery.objectives.samples import check_room_for_samples

        wanted = _wanted(settings.target)
        if settings.directions != len(wanted):
            raise UserError(f"directions is {settings.directions}; there is one for each of the {len(wanted)} edits")
        size = image_size(generator)
        for each in wanted:
            each.weights(size)
            if EDITS[each.edit].coloured and generator.channels != 3:
                raise UserError(f"{each.edit} needs red, green and blue; these images are grey")
        check_room_for_samples(generator, settings.samples, 0, 1, "--samples")
        if settings.fit == FIRST_LAYER:
            _first_layer_fit(generator, wanted, settings)

    def find(self, generator: FrozenGenerator, settings: TargetSettings, *, quiet: bool) -> Found:
        """Fit; the cosine between wanted and given changes is measured at other latents."""
        from torch.nn.functional import normalize

        wanted = _wanted(settings.target)
        if settings.fit == FIRST_LAYER:
            rows, cost = _first_layer_fit(generator, wanted, settings), 0
        else:
            rows, cost = _jacobian_fit(generator, wanted, settings, quiet=quiet)
        A = normalize(rows, dim=1).float()
        reached, judged = _reached(generator, wanted, settings, A, quiet=quiet)
        for each, (cosine, _) in zip(wanted, reached, strict=True):
            if not cosine >= WELL:
                _log.warning(
                    "%s: the change has a cosine of %.2f with the wanted one at other latents, which is little",
                    *(each.title, cosine),
                )
        values = {
            "names": [each.title for each in wanted],
            "notes": [_note(each, *pair) for each, pair in zip(wanted, reached, strict=True)],
            "target_cosine": [cosine for cosine, _ in reached],
            "target_per_step": [slope for _, slope in reached],
        }
        return Found(A, values, cost + judged)


def _wanted(text: str | None) -> list[RegionalEdit]:
    if text is None:
        raise UserError("the method target needs --target, such as zoom,shift-x")
    return parse_edits(text)


def _note(wanted: RegionalEdit, cosine: float, slope: float) -> str:
    from biggan_discovery.numerics.tangents import EDITS

    edit = EDITS[wanted.edit]
    return f"{edit.number(slope)} {edit.words} per unit step; cosine with the wanted change {cosine:.2f}"


def _jacobian_fit(
    generator: FrozenGenerator, wanted: list[RegionalEdit], settings: TargetSettings, *, quiet: bool
) -> tuple[Float[Tensor, "edits n"], int]:
    """(G + λ)⁻¹ g for each edit, with G the mean of JᵀJ over latents and g that of Jᵀt; and the cost."""
    import torch

    from biggan_discovery.directions.shifts import images_near
    from biggan_discovery.generators.batching import gradient_batch
    from biggan_discovery.numerics.derivatives import Derivative, weighted_grams
    from biggan_discovery.numerics.streams import Stream
    from biggan_discovery.numerics.symmetric import ridge
    from biggan_discovery.objectives.samples import draw_latents

    z, y = draw_latents(generator, settings.classes, count=settings.samples, seed=settings.seed, stream=Stream.SEARCH)
    batch, derivative = gradient_batch(generator, settings.micro_batch), Derivative()
    gram, sides, evaluations = torch.zeros(()), torch.zeros(()), 0
    with Progress(len(z), "measuring derivatives", unit="latent", quiet=quiet) as progress:
        for point, label in zip(z, y, strict=True):
            images, axes = images_near(generator, point, label, settings.layers)
            at = torch.zeros_like(axes[:1]).requires_grad_()
            with torch.enable_grad():
                output = images(at)
            wished = _tangents(generator, wanted, output.detach())
            ones = torch.ones_like(output)
            measured, cost = weighted_grams(images, axes, ones, batch, derivative)
            pulled = [torch.autograd.grad(output, at, each[None], retain_graph=True)[0][0] for each in wished]
            gram, sides = gram + measured[0], sides + torch.stack(pulled).cpu().double()
            evaluations += cost + 1 + len(wanted)
            progress.advance(1)
    if not gram.isfinite().all():
        raise UserError("the generator's derivatives are not finite at one of the latents; try another --seed")
    if not gram.any():
        raise UserError("images do not change with z in these layers, so no direction makes an edit")
    return torch.linalg.solve(gram + ridge(gram, settings.ridge), sides.T).T, evaluations


def _tangents(
    generator: FrozenGenerator, wanted: list[RegionalEdit], flat: Float[Tensor, "1 P"]
) -> Float[Tensor, "edits P"]:
    """Tangents of the edits at a flattened image, flattened."""
    from biggan_discovery.directions.region import image_size
    from biggan_discovery.numerics.tangents import tangents

    size = image_size(generator)
    image = flat.view(1, -1, *size)
    return tangents([each.edit for each in wanted], image, [each.weights(size) for each in wanted])[0].flatten(1)


def _first_layer_fit(
    generator: FrozenGenerator, wanted: list[RegionalEdit], settings: TargetSettings
) -> Float[Tensor, "edits n"]:
    """(WᵀW + λ)⁻¹ Wᵀt for each edit, with W the weights of the first layer and t the tangent at its bias."""
    import torch

    from biggan_discovery.numerics.symmetric import ridge
    from biggan_discovery.numerics.tangents import EDITS, tangents

    if others := [each.title for each in wanted if each.region or not EDITS[each.edit].geometric]:
        raise UserError(f"{', '.join(others)} cannot be fitted at the first layer, which knows shifts, zoom and rotate")
    if settings.layers.first:
        raise UserError(f"layers is {settings.layers}, without layer 0, the first linear layer")
    weight, bias = (each.double().cpu() for each in generator.first_layer())
    columns = weight.flatten(0, 2)
    wished = tangents([each.edit for each in wanted], bias[None])[0].flatten(1)
    gram = columns.T @ columns
    fitted = torch.linalg.solve(gram + ridge(gram, settings.ridge), columns.T @ wished.T).T
    space = generator.search_space(settings.layers)
    return torch.nn.functional.pad(fitted, (0, space.stop - space.start - fitted.shape[1]))


def _reached(
    generator: FrozenGenerator, wanted: list[RegionalEdit], settings: TargetSettings, rows: Tensor, *, quiet: bool
) -> tuple[list[tuple[float, float]], int]:
    """For each edit at other latents: mean cosine between wanted and given change, and amount per unit step."""
    from biggan_discovery.directions.space import pad
    from biggan_discovery.evaluation.effects import effects, effects_cost
    from biggan_discovery.numerics.streams import Stream
    from biggan_discovery.objectives.samples import draw_latents

    count, layers = settings.samples, settings.layers
    z, y = draw_latents(generator, settings.classes, count=count, seed=settings.seed, stream=Stream.HELD_OUT_EFFECTS)
    Q = pad(rows, generator.search_space(layers), generator.z_dim)
    cost = effects_cost(len(Q), samples=count)
    with Progress(cost, "measuring at other latents", unit="image", quiet=quiet) as progress:
        found = effects(generator, Q, wanted, z, y, layers=layers, progress=progress)
    cosines = found.cosines.mean(dim=0).diagonal()
    return list(zip(cosines.tolist(), found.slopes.diagonal().tolist(), strict=True)), cost
