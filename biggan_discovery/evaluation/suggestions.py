"""Names for directions of generators whose factors are known."""

from __future__ import annotations

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import check_fits, layers_for
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.metrics.recovery import recovery
from biggan_discovery.generators import FrozenGenerator

_SUGGESTED = "suggested after"
_LEAST = 0.9  # |cos| from which on a direction is named; the strongest of 16 random directions has about 0.5.


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
