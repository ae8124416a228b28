"""Names for directions: after known factors, or after simple edits that they make."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float64
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import check_fits, layers_for
from biggan_discovery.directions.region import NAMED_REGIONS
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.effects import effects, effects_cost
from biggan_discovery.evaluation.metrics.recovery import recovery
from biggan_discovery.evaluation.regional_edits import RegionalEdit
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.numerics.tangents import EDITS
from biggan_discovery.objectives.samples import draw_latents
from biggan_discovery.progress import Progress

_SUGGESTED = "suggested after"
_CLEAR, _CONSISTENT, _AHEAD = 0.55, 0.9, 0.15
_LEAST = 0.9  # |cos| from which on a direction is named; the strongest of 16 random directions has about 0.5.


class Suggestion(NamedTuple):
    """What a direction resembles.

    Attributes:
        direction: its row.
        edit: the edit that its change resembles most, such as "shift-x" or "hue (upper)".
        cosine: mean cosine with the edit's tangent; negative where it makes the opposite edit.
        consistency: share of latents at which the cosine has the sign of the mean.
        named: whether the resemblance is clear, and the direction has been named.
    """

    direction: int
    edit: str
    cosine: float
    consistency: float
    named: bool


_VOCABULARY = [
    *(RegionalEdit(name, name) for name in EDITS),
    *(
        RegionalEdit(f"{name} ({region})", name, region)
        for region in NAMED_REGIONS
        for name, edit in EDITS.items()
        if not edit.geometric
    ),
]


def suggest_names(directions: Directions, generator: FrozenGenerator) -> list[int]:
    """Name the directions that match a known factor, in place; a note says that the name is a suggestion, and why.

    Names that directions already have are kept.

    Args:
        directions: of all layers of the generator, at least as many as there are factors.
        generator: one with known factors, such as the bundled ones.

    Returns:
        Indices of the directions that got a name, ascending.

    Raises:
        UserError: the factors are unknown, or the directions do not fit.

    Example:
        >>> found = discover("scenes-64", method="sefa")
        >>> [found.names[index] for index in suggest_names(found, load_generator("scenes-64"))]
        ['object position', 'object hue', 'wall hue', 'floor hue', 'light direction']
    """
    check_fits(directions, generator)
    if generator.true_directions is None:
        raise UserError(f"the factors of {generator.name} are not known; look at the directions and name them yourself")
    if not layers_for(directions, generator).covers_all:
        raise UserError(f"{directions.source} is for some layers only, but the known factors are for all")
    matched = recovery(directions.Q, generator.true_directions)
    named = []
    for factor, index, cosine in zip(generator.factor_names, matched.partners, matched.cosines, strict=True):
        if abs(cosine) >= _LEAST and not directions.names[index] and factor not in directions.names:
            directions.rename(index, factor)
            opposite = " of the opposite sign" if cosine < 0 else ""
            directions.annotate(index, f"{_SUGGESTED} the known factor{opposite}, |cos| {abs(cosine):.3f}")
            named.append(index)
    return sorted(named)


def is_suggestion(note: str) -> bool:
    """Whether a direction's note says that its name was suggested."""
    return note.startswith(_SUGGESTED)


def suggest_from_changes(
    directions: Directions,
    generator: FrozenGenerator,
    *,
    samples: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Suggestion]:
    """Name the directions whose change of the image is a simple edit, in place; of any generator.

    The change along each direction is compared with the tangents of edits (`numerics.tangents`) of the whole image and
    of its parts, at several latents. A direction is named where the mean cosine is at least 0.55, its sign is the same
    at nine latents in ten, and the next edit of another kind is at least 0.15 behind. Names that directions already
    have are kept.

    Args:
        directions: the directions.
        generator: the generator that they are for.
        samples: number of latents.
        seed: random seed of the latents.
        progress: advanced by one per image, `suggestion_cost` in all.

    Returns:
        For each unnamed direction, in order, what it resembles most and whether it has been named.

    Raises:
        UserError: the directions do not fit.

    Example:
        >>> found = discover("my_gan.py:G", method="jacobian", directions=8)
        >>> [each.edit for each in suggest_from_changes(found, load_generator("my_gan.py:G")) if each.named]
        ['shift-x', 'hue (upper)']
    """
    check_fits(directions, generator)
    classes = directions.metadata.get("classes")
    z, y = draw_latents(generator, classes, count=samples, seed=seed, stream=Stream.SUGGESTIONS)
    vocabulary = [each for each in _VOCABULARY if generator.channels == 3 or not EDITS[each.edit].coloured]
    found: dict[int, Suggestion] = {}
    for layers, rows in directions.layer_groups.items():
        cosines = effects(generator, directions.Q[rows], vocabulary, z, y, layers=layers, progress=progress).cosines
        found |= {row: _nearest(row, vocabulary, own) for row, own in zip(rows, cosines.unbind(1), strict=True)}
    suggested = [found[row] for row in range(len(directions)) if not directions.names[row]]
    for each in sorted(suggested, key=lambda each: -abs(each.cosine)):
        if each.named:
            _name_after(directions, each)
    return suggested


def suggestion_cost(directions: Directions, *, samples: int = 16) -> int:
    """Forward passes of one image that `suggest_from_changes` takes."""
    return sum(effects_cost(len(rows), samples=samples) for rows in directions.layer_groups.values())


def _nearest(row: int, vocabulary: list[RegionalEdit], cosines: Float64[Tensor, "N edits"]) -> Suggestion:
    means = cosines.mean(dim=0)
    best = int(means.abs().argmax())
    others = [index for index, each in enumerate(vocabulary) if each.edit != vocabulary[best].edit]
    ahead = means[best].abs() - means[others].abs().max()
    consistency = (cosines[:, best] * means[best].sign() > 0).double().mean().item()
    clear = abs(means[best]) >= _CLEAR and consistency >= _CONSISTENT and ahead >= _AHEAD
    return Suggestion(row, vocabulary[best].title, means[best].item(), consistency, bool(clear))


def _name_after(directions: Directions, found: Suggestion) -> None:
    taken = {name.casefold() for name in directions.names}
    names = (found.edit, *(f"{found.edit} {number}" for number in range(2, len(directions) + 2)))
    directions.rename(found.direction, next(name for name in names if name.casefold() not in taken))
    opposite = " of the opposite sign" if found.cosine < 0 else ""
    directions.annotate(
        found.direction,
        f"{_SUGGESTED} what it changes{opposite}, mean cosine {abs(found.cosine):.2f}, same sign at "
        f"{found.consistency:.0%} of latents".replace("%", " %"),
    )
