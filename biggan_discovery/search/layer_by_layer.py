"""A search in every layer by itself, and the directions of all of them in one file."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.activity import (
    inactive,
    random_strengths,
    random_strengths_cost,
    stored_changes,
    strengths,
    strengths_cost,
)
from biggan_discovery.directions.layers import single_layers
from biggan_discovery.directions.metadata import ERROR_ANGLE, STRENGTHS
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import EACH
from biggan_discovery.generators.mixes import stored_classes
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw_latents
from biggan_discovery.progress import Progress
from biggan_discovery.runs import processes
from biggan_discovery.runs.folder import (
    DIRECTIONS,
    Hold,
    Saved,
    State,
    check_same_run,
    load_finished,
    locked,
    read_saved,
)

_LATENTS = 4  # at which strengths are measured where the method measured none
_SHARED = ("generator", "generator_sha256", "truncation", "prior", "classes", "class_names", "method", "solver", "seed")
_ALSO_SHARED = ("objective", "resolution", "z_dim", "random_strength")
_log = logging.getLogger(__name__)


def layers_with_coordinates(generator: FrozenGenerator) -> list[str]:
    """The layers that see a part of z, each by itself; logs which do not.

    Raises:
        UserError: the generator has one layer only.
    """
    if generator.num_layers == 1:
        raise UserError(f"layers each: {generator.name} has one layer that sees z; give all")
    spaces = {str(layer): generator.search_space(layer) for layer in single_layers(generator)}
    empty = [layer for layer, space in spaces.items() if space.start >= space.stop]
    if empty:
        _log.info("no search in layer%s %s: no part of z enters there", "s" * (len(empty) > 1), ", ".join(empty))
    return [layer for layer in spaces if layer not in empty]


def layer_by_layer(
    generator: FrozenGenerator,
    searches: Mapping[str, Callable[[], Directions]],
    header: Mapping[str, Any],
    costs: Sequence[int | None],
    folder: Path | None,
    *,
    quiet: bool,
) -> Directions:
    """Search every layer by itself, and sort all directions by strength.

    Args:
        generator: the frozen network.
        searches: for each layer, a function that searches it or resumes its search in a folder of its own.
        header: settings of the first search.
        costs: generator evaluations of each search; None if they are not known.
        folder: folder for the directions of all layers. None to write nothing.
        quiet: show no progress.

    Returns:
        The directions, see `of_all_layers`.

    Raises:
        UserError: If the folder holds another run or is in use.
    """
    own = {key: value for key, value in header.items() if key != "precision"} | {"layers": EACH}
    with contextlib.ExitStack() as stack:
        hold: Hold | None = None

        def begun() -> Saved | None:
            nonlocal hold
            if folder is None:
                return None
            hold = stack.enter_context(locked(folder))
            saved = read_saved(folder)
            if saved is None:
                State(own, {}, (), 0).save(folder)
            return saved

        saved = processes.from_first(begun)
        if folder is not None and saved is not None:
            check_same_run(folder, saved, own)
            if (folder / DIRECTIONS).exists():
                return processes.from_first(lambda: load_finished(folder))
        if not quiet:
            _announce(list(searches), costs)
        found = {layer: search() for layer, search in searches.items()}

        def joined() -> Directions:
            result = of_all_layers(generator, found, quiet=quiet)
            if folder is not None:
                if hold is not None:
                    hold.keep()
                result.save(folder / DIRECTIONS)
            return result

        return processes.from_first(joined)


def of_all_layers(generator: FrozenGenerator, found: Mapping[str, Directions], *, quiet: bool = True) -> Directions:
    """Directions of several layers as one set, the strongest first, and so inactive ones last.

    Strengths are those of `directions.activity`. Where the method measured none, they are measured at 4 latents.

    Args:
        generator: the frozen network.
        found: by layer, directions of the same search.
        quiet: show no progress.

    Returns:
        The directions, whose rows are orthonormal within each layer; "direction_layers" has the layer of each.

    Example:
        >>> found = {layer: discover(generator, layers=layer) for layer in ("0", "3")}
        >>> of_all_layers(generator, found).layers_of(0)
        '3'
    """
    every = list(found.values())
    first = every[0].metadata
    layers = [layer for layer, each in found.items() for _ in range(len(each))]
    metadata: dict[str, Any] = {key: first[key] for key in (*_SHARED, *_ALSO_SHARED) if key in first}
    metadata |= {
        "layers": EACH,
        "settings": {key: value for key, value in first["settings"].items() if key != "directions"},
        "direction_layers": layers,
        "generator_evaluations": sum(each.metadata["generator_evaluations"] for each in every),
    }
    for key in (ERROR_ANGLE, *STRENGTHS):
        if all(key in each.metadata for each in every):
            metadata[key] = [value for each in every for value in each.metadata[key]]
    if "strength" not in metadata:
        metadata |= _measured_strengths(generator, found, quiet=quiet)
        metadata["generator_evaluations"] += _measuring_cost(found)
    order = sorted(range(len(layers)), key=lambda row: -_or_none(metadata["strength"][row]))
    for key in ("direction_layers", ERROR_ANGLE, *STRENGTHS):
        if key in metadata:
            metadata[key] = [metadata[key][row] for row in order]
    A, Q = (torch.cat([getattr(each, letter) for each in every])[order] for letter in "AQ")
    result = Directions(A, Q, metadata)
    if not quiet:
        _log_layers(result)
    return result


def _or_none(strength: float) -> float:
    """A strength to sort by; nan is none."""
    return strength if strength == strength else -1.0


def _measured_strengths(generator: FrozenGenerator, found: Mapping[str, Directions], *, quiet: bool) -> dict[str, Any]:
    """The strengths of all directions, layer after layer, and that of random ones."""
    known = next(iter(found.values())).metadata
    classes = stored_classes(known["classes"])
    z, y = draw_latents(generator, classes, count=_LATENTS, seed=known["seed"], stream=Stream.ACTIVITY)
    of_each: list[Tensor] = []
    with Progress(_measuring_cost(found), "strengths", unit="image", quiet=quiet) as progress:
        for layer, each in found.items():
            of_each.append(strengths(generator, each.Q, z, y, layers=layer, progress=progress).mean(dim=0))
        of_random = random_strengths(generator, z, y, seed=known["seed"], progress=progress)
    return {"strength": torch.cat(of_each).tolist(), "random_strength": of_random.mean().item()}


def _measuring_cost(found: Mapping[str, Directions]) -> int:
    of_each = sum(strengths_cost(len(each), samples=_LATENTS) for each in found.values())
    return of_each + random_strengths_cost(samples=_LATENTS)


def _announce(layers: Sequence[str], costs: Sequence[int | None]) -> None:
    known = [cost for cost in costs if cost is not None]
    total = f", {sum(known):,} generator evaluations in all" if len(known) == len(costs) else ""
    _log.info("%d searches, one in each of the layers %s%s", len(layers), ", ".join(layers), total)


def _log_layers(found: Directions) -> None:
    """How many directions each layer has, and how many are active."""
    idle = set(inactive(stored_changes(found) or []))
    for layer, rows in sorted(found.layer_groups.items(), key=lambda group: int(group[0])):
        active = sum(row not in idle for row in rows)
        _log.info(
            "layer %s: %d of %d directions active, the strongest is direction %d", layer, active, len(rows), rows[0]
        )
