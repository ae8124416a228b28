"""Shared by commands that show directions: opening files and generators, and writing films."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from biggan_discovery.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from biggan_discovery.directions import Directions
    from biggan_discovery.generators import FrozenGenerator
    from biggan_discovery.progress import Progress

_DEFAULT_GENERATOR = "scenes-64"


def open_generator(
    name: str | None, *, truncation: float | None, classes: str | None, device: str
) -> tuple[FrozenGenerator, list[int]]:
    """Load a generator (defaults to the bundled one) and its classes (default to all).

    Raises:
        UserError: no such generator or class.
    """
    from biggan_discovery.generators import load_generator, parse_classes

    network = load_generator(name or _DEFAULT_GENERATOR, truncation=truncation, device=device)
    return network, list(range(network.num_classes)) if classes is None else parse_classes(network, classes)


def open_subject(
    path: str, *, generator: str | None, truncation: float | None, classes: str | None, device: str
) -> tuple[Directions, FrozenGenerator, list[int]]:
    """Load a directions file, its generator and its classes; options default to what the file says.

    Warns on stderr if the weights of the generator are not those that the directions were found with.

    Raises:
        UserError: a file cannot be read, the generator takes latents of another size or has no such class, or the file
            asks for a generator in Python code and `generator` is None.
    """
    from biggan_discovery.directions import Directions
    from biggan_discovery.generators import load_generator, parse_classes

    directions = Directions.load(path)
    known = directions.metadata
    name = generator or known.get("generator") or _DEFAULT_GENERATOR
    network = load_generator(
        str(name),
        truncation=truncation or known.get("truncation"),
        device=device,
        named_by=None if generator else path,
    )
    if network.z_dim != directions.z_dim:
        raise UserError(
            f"{path} has directions for z_dim {directions.z_dim}, but {network.name} has z_dim {network.z_dim}; "
            "give the generator they were found in"
        )
    expected = known.get("generator_sha256")
    if expected and network.sha256 and expected != network.sha256:
        click.echo(f"warning: {path} was made for other weights than those of {network.name}", err=True)
    if classes is not None:
        return directions, network, parse_classes(network, classes)
    return directions, network, _classes_of_file(path, known.get("classes"), network)


def check_layers(path: str, directions: Directions, generator: FrozenGenerator) -> None:
    """Raise UserError, naming the file, if the generator does not have the layers that the directions are for."""
    from biggan_discovery.generators.layer_range import parse_layers

    try:
        parse_layers(directions.layers, generator.num_layers)
    except UserError as error:
        raise UserError(f"{path}: {error}; give the generator they were found in") from error


def _classes_of_file(path: str, classes: Any, generator: FrozenGenerator) -> list[int]:
    if not classes:
        return list(range(generator.num_classes))
    if not isinstance(classes, list) or not all(type(y) is int and 0 <= y < generator.num_classes for y in classes):
        raise UserError(f"{path} names classes that {generator.name} does not have; give --class")
    return classes


def write_film(out: Path, frames: Iterator[np.ndarray], fps: float, progress: Progress) -> str:
    """Write frames as they are rendered; returns a line that says what was written."""
    from biggan_discovery.rendering import open_writer

    count, shape = 0, (0, 0)
    with open_writer(out, fps) as writer:
        for frame in frames:
            writer.add(frame)
            progress.advance()
            count, shape = count + 1, frame.shape
    length = f", {count} frames in {count / fps:.3g} s" if count > 1 else ""
    return f"wrote {out} ({shape[1]} x {shape[0]} pixels{length}, {out.stat().st_size / 1e6:.3g} MB)"
