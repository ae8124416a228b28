"""Defaults from the metadata of directions: generator, classes, layers and settings of the search."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from biggan_discovery.directions.directions import Directions
from biggan_discovery.directions.layers import rows_of, together
from biggan_discovery.directions.metadata import short
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator, load_generator
from biggan_discovery.generators.catalogue import DEFAULT, find_folder, named_by_weights
from biggan_discovery.generators.class_space import in_space
from biggan_discovery.generators.labels import ClassChoice, class_list
from biggan_discovery.generators.layer_range import ALL, EACH, LayerRange, parse_layers
from biggan_discovery.generators.mixes import Class, stored_classes
from biggan_discovery.numerics.trial import try_out

if TYPE_CHECKING:
    import torch

_LARGEST = 3.4e38  # in float32
_log = logging.getLogger(__name__)


def load_generator_for(
    directions: Directions | None,
    generator: str | os.PathLike[str] | None = None,
    *,
    truncation: float | None = None,
    device: str | torch.device = "auto",
    offline: bool | None = None,
    mirror: str | None = None,
) -> FrozenGenerator:
    """Load the generator that directions were found in.

    Args:
        directions: the directions, or None for the bundled generator.
        generator: another generator; see `load_generator`. Defaults to the generator in the metadata of `directions`,
            or without `directions` to the bundled one.
        truncation: in (0, 1]. Defaults to the truncation of the search, or 1.
        device: see `load_generator`.
        offline: see `load_generator`.
        mirror: see `load_generator`.

    Raises:
        UserError: As `load_generator`; or if neither `directions` nor the caller names a generator.

    Example:
        >>> found = Directions.load("scenes-64")
        >>> load_generator_for(found, device="cpu").name
        'scenes-64'
    """
    known = {} if directions is None else directions.metadata
    named = known.get("generator")
    if directions is not None and not generator:
        if not named:
            raise UserError(f"{directions.source} does not say which generator it is for; give --generator")
        _check_at_hand(directions, named)
    loaded = load_generator(
        str(generator or named or DEFAULT),
        truncation=truncation or known.get("truncation"),
        device=device,
        offline=offline,
        mirror=mirror,
        named_by=directions.source if directions is not None and named and not generator else None,
    )
    return in_space(loaded, known.get("space"))


def _check_at_hand(directions: Directions, named: str) -> None:
    """Raise the error for a generator that is not where a file says, with the one that has the same weights."""
    try:
        find_folder(named, named_by=directions.source)
    except UserError as error:
        same = named_by_weights(directions.metadata.get("generator_sha256"))
        if same is None:
            raise
        raise UserError(
            f"{directions.source} is for the generator {short(named)}, which is not here, but {same} has the same "
            f"weights; give --generator {same}"
        ) from error


def open_directions(
    generator: FrozenGenerator | str | os.PathLike[str] | None, directions: Directions | str | os.PathLike[str]
) -> tuple[FrozenGenerator, Directions]:
    """Load directions and their generator if necessary, and check that they match.

    See `load_generator_for` and `check_fits`.

    Args:
        generator: a frozen generator, or an argument of `load_generator`. None for the generator in the metadata of
            `directions`.
        directions: the directions, or their file.

    Raises:
        UserError: If the file cannot be read, the generator does not exist, or they do not match.

    Example:
        >>> generator, found = open_directions(None, "scenes-64")
        >>> generator.name, len(found)
        ('scenes-64', 16)
    """
    if not isinstance(directions, Directions):
        directions = Directions.load(directions)
    if not isinstance(generator, FrozenGenerator):
        generator = load_generator_for(directions, generator)
    generator = in_space(generator, directions.metadata.get("space"))
    check_fits(directions, generator)
    try_out(generator)
    return generator, directions


def check_fits(directions: Directions, generator: FrozenGenerator) -> None:
    """Check that directions have the z_dim of a generator; log a warning if its weights are not those of the search.

    Raises:
        UserError: If z_dim differs.
    """
    if generator.z_dim != directions.z_dim:
        raise UserError(
            f"{directions.source} has directions for z_dim {directions.z_dim}, but {generator.name} has z_dim "
            f"{generator.z_dim}; give the generator they were found in"
        )
    prior = directions.metadata.get("prior")
    if prior and generator.prior and prior != generator.prior:
        _log.warning("%s was found with the prior %s, not %s", directions.source, prior, generator.prior)
    expected = directions.metadata.get("generator_sha256")
    if expected and generator.sha256 and expected != generator.sha256:
        _log.warning("%s was made for other weights than those of %s", directions.source, generator.name)


def classes_for(directions: Directions | None, generator: FrozenGenerator, classes: ClassChoice = None) -> list[Class]:
    """Classes to use with directions: indices and soft classes.

    Args:
        directions: the directions, or None.
        generator: the generator.
        classes: indices, a string such as "cone" or "0-2", or class weights; see `class_list`. Defaults to the classes
            of the search, or all.

    Raises:
        UserError: If the generator does not have a class.

    Example:
        >>> classes_for(None, generator, "0-2")
        [0, 1, 2]
    """
    if classes is not None or directions is None:
        return class_list(generator, classes)
    known = directions.metadata.get("classes")
    if not known:
        return class_list(generator, None)
    found = stored_classes(known, generator.num_classes)
    if found is None:
        raise UserError(f"{directions.source} has classes that {generator.name} does not have; choose its classes")
    return found


def layers_for(
    directions: Directions | None, generator: FrozenGenerator, layers: LayerRange | str | None = None
) -> LayerRange:
    """Layers that all directions of a set reach.

    Directions for different layers reach all, if each is zero outside the part of z that only its own layers see.

    Args:
        directions: the directions, or None.
        generator: the generator.
        layers: a range, or a string; see `parse_layers`. Defaults to the layers of the search, or all.

    Raises:
        UserError: If the generator does not have these layers; names the file if the layers come from it. Or if the
            directions are for different layers that see the same parts of z.

    Example:
        >>> str(layers_for(None, generator))
        'all'
    """
    if layers is not None or directions is None:
        return parse_layers("all" if layers is None else str(layers), generator.num_layers)
    if directions.layers != EACH:
        return _of_file(directions, directions.layers, generator)
    if together(directions, generator):
        return parse_layers(ALL, generator.num_layers)
    raise UserError(
        f"{directions.source} has directions for different layers, which are not orthogonal to each other; choose one "
        f"of the layers {', '.join(directions.layer_groups)}"
    )


def layers_of(
    directions: Directions, generator: FrozenGenerator, row: int, layers: LayerRange | str | None = None
) -> LayerRange:
    """Layers that one direction reaches.

    Args:
        directions: the directions.
        generator: the generator.
        row: index of the direction.
        layers: a range, or a string. Defaults to the direction's own, see `Directions.layers_of`.

    Raises:
        UserError: If the generator does not have these layers.
    """
    if layers is not None:
        return parse_layers(str(layers), generator.num_layers)
    return _of_file(directions, directions.layers_of(row), generator)


def rows_for(directions: Directions, generator: FrozenGenerator, layers: LayerRange | str | None) -> list[int]:
    """Indices of the directions that `layers` chooses: in a file of directions for different layers, those for these.

    Raises:
        UserError: If none is for these layers.
    """
    if layers is None or directions.layers != EACH:
        return list(range(len(directions)))
    return rows_of(directions, parse_layers(str(layers), generator.num_layers))


def _of_file(directions: Directions, layers: str, generator: FrozenGenerator) -> LayerRange:
    try:
        return parse_layers(layers, generator.num_layers)
    except UserError as error:
        raise UserError(f"{directions.source}: {error}; give the generator they were found in") from error


def setting_for(directions: Directions | None, generator: FrozenGenerator, key: str) -> float:
    """A setting of the search that found the directions, such as "path_size" or "epsilon".

    Defaults to the setting of the generator, also if the search used 0.

    Raises:
        UserError: If it is not a positive number.
    """
    settings = {} if directions is None else directions.metadata.get("settings", {})
    value = settings.get(key) or generator.defaults().get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= _LARGEST:
        source = generator.name if directions is None else directions.source
        raise UserError(
            f"{source} gives the {key} {short(value)}, which is not a positive number; choose another {key}"
        )
    return float(value)
