"""Several sets of directions for one generator: opening them, what to call them, and the settings they share."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import check_fits, layers_for, load_generator_for, setting_for
from biggan_discovery.directions.layers import rows_of, subset
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import ClassChoice
from biggan_discovery.generators.layer_range import LayerRange, parse_layers
from biggan_discovery.generators.mixes import class_text


@dataclass(frozen=True)
class DirectionSet:
    """Directions, what to call them in a report, the layers that they reach, and their file, if they have one."""

    label: str
    directions: Directions
    layers: LayerRange
    file: str = ""

    @property
    def history(self) -> Path | None:
        """The history of the search, where the file is the result of one."""
        return Path(self.file).with_name("history.csv") if Path(self.file).stem == "directions" else None


def open_sets(
    generator: FrozenGenerator,
    directions: Sequence[Directions | str | os.PathLike[str]],
    labels: Sequence[str] | None,
    layers: str | None = None,
) -> list[DirectionSet]:
    """Read the sets that are files, and check that all fit the generator.

    Warns where directions were found in other weights than the generator's.

    Args:
        generator: the frozen network.
        directions: objects or paths of directions files.
        labels: what to call each. By default a file is called by its name, or where that is "directions" by its
            folder's; other sets are numbered.
        layers: which directions of each set to take, those for exactly these layers. Defaults to all, which are then
            one set for all layers.

    Raises:
        UserError: no directions for these layers, or directions for different layers that are no set for all of them;
            a file is given twice or cannot be read; labels that are not one for each set, all different; or
            directions that do not fit the generator.
    """
    files = ["" if isinstance(each, Directions) else os.fspath(each) for each in directions]
    called = _default_labels(files) if labels is None else list(labels)
    if len(called) != len(directions) or len(set(called)) < len(called):
        raise UserError(f"labels are {', '.join(called)}; give {len(directions)}, all different")
    found = []
    for label, each, file in zip(called, directions, files, strict=True):
        loaded = each if isinstance(each, Directions) else Directions.load(each)
        check_fits(loaded, generator)
        chosen = loaded if layers is None else _of_layers(loaded, generator, layers)
        found.append(DirectionSet(label, chosen, layers_for(chosen, generator), file))
    return found


def _of_layers(directions: Directions, generator: FrozenGenerator, layers: str) -> Directions:
    """The directions for some layers; unnamed ones are called by their numbers in the set that they are from."""
    rows = rows_of(directions, parse_layers(layers, generator.num_layers))
    chosen = subset(directions, rows)
    taken = {name.casefold() for name in chosen.names if name}
    for index, row in enumerate(rows):
        name = f"number {row}"
        if len(rows) < len(directions) and not chosen.names[index] and name not in taken:
            chosen.rename(index, name)
    return chosen


def file_labels(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """A short name for each file: its stem, or its folder's name if the stem is generic.

    Raises:
        UserError: if a file is given twice.
    """
    places = [Path(path).resolve() for path in paths]
    for index, path in enumerate(paths):
        if places[index] in places[:index]:
            raise UserError(f"{path} is given twice; give each file once")
    short = [
        place.parent.name if Path(path).stem == "directions" else Path(path).stem
        for path, place in zip(paths, places, strict=True)
    ]
    return short if len(set(short)) == len(short) else [str(Path(path).with_suffix("")) for path in paths]


def generator_of(paths: Sequence[str], generator: str | None, **options: Any) -> FrozenGenerator:
    """The generator of some directions files: the one that is named, or the one that all of them name.

    Args:
        paths: directions files.
        generator: what `load_generator` takes. Defaults to the one that the files name.
        options: truncation, device, offline and mirror, see `load_generator_for`.

    Raises:
        UserError: a file is given twice or cannot be read; or `generator` is not given and the files name different
            ones.
    """
    file_labels(paths)
    every = [Directions.load(path) for path in paths]
    first = every[0].metadata
    for each in every:
        for key in ("generator_sha256", "generator"):
            known = each.metadata
            if known.get(key) and first.get(key):
                if known[key] != first[key] and generator is None:
                    raise UserError(
                        f"{each.source} is for {known.get('generator')}, {paths[0]} for {first.get('generator')}; "
                        "give --generator to judge both in one"
                    )
                break
    return load_generator_for(every[0], generator, **options)


def setting(name: str, value: float | None, given: DirectionSet, generator: FrozenGenerator) -> float:
    """A setting that a user gives. Defaults to that of the search that found a set, or to the generator's.

    Raises:
        UserError: not a positive number.
    """
    if value is None:
        return setting_for(given.directions, generator, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise UserError(f"{name} is {value!r}; it should be a positive number")
    return float(value)


def class_options(classes: ClassChoice) -> dict[str, Any]:
    """The options of a command line for an argument `classes`."""
    if isinstance(classes, os.PathLike):
        return {"class-vectors": os.fspath(classes)}
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        known = [each for each in classes if isinstance(each, int | tuple)]
        mixed = any(isinstance(each, tuple) for each in known)
        return {"class": (";" if mixed else ",").join(map(class_text, known))} if len(known) == len(classes) else {}
    return {"class": classes if isinstance(classes, str | int) else None}


def command_line(
    command: str, given: Sequence[DirectionSet], generator: FrozenGenerator, options: Mapping[str, Any]
) -> str:
    """The command line that does the same as a call; "" where some directions have no file.

    Args:
        command: its name.
        given: the sets.
        generator: the frozen network.
        options: by name, without dashes; those that are None or False are left out.
    """
    if not all(each.file for each in given):
        return ""
    known = given[0].directions.metadata
    own = {"generator": generator.name, "truncation": generator.truncation}
    other = {name: value for name, value in own.items() if known.get(name, value) != value}
    words = ["biggan-discovery", command, *(each.file for each in given)]
    for name, value in {**other, **options}.items():
        if value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False:
            several = isinstance(value, Sequence) and not isinstance(value, str)
            words += [f"--{name}", ",".join(map(str, value)) if several else str(value)]
    return shlex.join(words)


def _default_labels(files: Sequence[str]) -> list[str]:
    of_files = iter(file_labels([file for file in files if file]))
    numbered = len(files) > 1
    return [
        next(of_files) if file else f"directions {index}" if numbered else "directions"
        for index, file in enumerate(files)
    ]
