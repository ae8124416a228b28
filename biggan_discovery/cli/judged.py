"""What commands that judge several directions files share: opening them in one generator, and what to call them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biggan_discovery.errors import UserError

if TYPE_CHECKING:
    from biggan_discovery.directions import Directions
    from biggan_discovery.generators import FrozenGenerator


def open_sets(
    paths: Sequence[str], *, generator: str | None, classes: str | None, **loading: Any
) -> tuple[dict[str, Directions], FrozenGenerator, list[int]]:
    """Load directions files by their labels, the generator of the first, and its classes.

    `loading` goes to `load_generator_for`.

    Raises:
        UserError: as `load_generator_for`, `classes_for` and `layers_for`; a file that is given twice, or one for
            another generator than the first.
    """
    from biggan_discovery.directions import Directions
    from biggan_discovery.directions.defaults import check_fits, classes_for, layers_for, load_generator_for

    names = labels(paths)
    first = Directions.load(paths[0])
    network = load_generator_for(first, generator, **loading)
    check_fits(first, network)
    known_classes = classes_for(first, network, classes)
    sets = [first, *map(Directions.load, paths[1:])]
    for path, directions in zip(paths, sets, strict=True):
        _check_same_generator(path, directions, paths[0], first, network, chosen=generator is not None)
        layers_for(directions, network)
    return dict(zip(names, sets, strict=True)), network, known_classes


def labels(paths: Sequence[str]) -> list[str]:
    """A short name for each file: its own without the suffix, or where that says nothing, its folder's before it.

    Raises:
        UserError: where a file is given twice.
    """
    twice = {path for index, path in enumerate(paths) if Path(path).resolve() in map(_resolved, paths[:index])}
    if twice:
        raise UserError(f"{twice.pop()} is given twice; give each file once")
    stems = [Path(path).stem for path in paths]
    short = [
        Path(path).resolve().parent.name if stem == "directions" else stem
        for path, stem in zip(paths, stems, strict=True)
    ]
    return short if len(set(short)) == len(short) else [str(Path(path).with_suffix("")) for path in paths]


def _resolved(path: str) -> Path:
    return Path(path).resolve()


def _check_same_generator(
    path: str, directions: Directions, first_path: str, first: Directions, network: FrozenGenerator, *, chosen: bool
) -> None:
    if directions.z_dim != network.z_dim:
        raise UserError(
            f"{path} has directions for z_dim {directions.z_dim}, but {network.name} has z_dim {network.z_dim}; "
            "give files of one generator"
        )
    known, expected = directions.metadata, first.metadata
    for key in ("generator_sha256", "generator"):
        if known.get(key) and expected.get(key):
            if known[key] != expected[key] and not chosen:
                ours, theirs = known.get("generator"), expected.get("generator")
                raise UserError(
                    f"{path} is for {ours}, {first_path} for {theirs}; give --generator to judge both in one"
                )
            return
