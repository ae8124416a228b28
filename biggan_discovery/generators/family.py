"""What a family of generators is. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from biggan_discovery.generators.base import FrozenGenerator


def absolute(path: Path) -> Path:
    """The path from the root, without following links."""
    return Path(os.path.abspath(path))  # noqa: PTH100


@dataclass(frozen=True)
class Listing:
    """What is known of a generator without loading its weights.

    Attributes:
        figures: resolution, z_dim and number of classes; None if only the weights determine them.
        size: of the weights in bytes; 0 if they are missing.
        problem: why it cannot be loaded; "" if nothing is known to be wrong.
    """

    figures: tuple[int, int, int] | None
    size: int
    problem: str = ""


class Load(Protocol):
    """The function that loads a generator."""

    def __call__(self, path: Path, *, name: str, truncation: float = ...) -> FrozenGenerator:
        """Load the generator of a path under a name; a truncation is passed only if the user gave one."""
        ...


@dataclass(frozen=True)
class Family:
    """A family of generators: a network architecture and the files it comes in.

    A family is one file that defines a `Family`, and one line in `families.FAMILIES`. The file is imported to list
    generators, so it must import torch inside `load` only.

    Attributes:
        name: for people.
        looks_for: what a path must be, to complete the sentence "give ...".
        recognises: whether a path looks like a generator of this family; called for any path, without torch.
        load: see `Load`.
        class_names: one name per class of the generator of a path.
        describe: description of a folder in the list of generators; None for families that are not kept in folders.
        absolute: makes a path independent of the working directory; the result is the generator's name. Links are kept,
            as the files beside a link are looked up by its name.
        runs_code: whether loading runs Python code that the path names. Such a path is taken from the user only.
    """

    name: str
    looks_for: str
    recognises: Callable[[Path], bool]
    load: Load
    class_names: Callable[[Path], tuple[str, ...]]
    describe: Callable[[Path], Listing] | None = None
    absolute: Callable[[Path], Path] = absolute
    runs_code: bool = False
