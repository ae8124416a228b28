"""What pictures say about themselves, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from biggan_discovery.directions import Directions
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import ALL, EACH, LayerRange
from biggan_discovery.generators.mixes import Class, class_title

_MOST = 6  # names in a list


def joined(*parts: str) -> str:
    """Parts of a caption, without the empty ones."""
    return " · ".join(filter(None, parts))


def class_name(generator: FrozenGenerator, label: Class) -> str:
    """A class in words: "cone", "class 3", "cone 0.7 + cube 0.3"; nothing for a generator without classes."""
    named = [f"class {name}" if name == str(index) else name for index, name in enumerate(generator.class_names)]
    return "" if generator.num_classes == 1 else class_title(named, label)


def listed(names: Sequence[str], what: str) -> str:
    """A list of names in words, cut if it is long."""
    more = f" and {len(names) - _MOST} more {what}" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more


def amount_text(amount: float) -> str:
    """An amount with its sign."""
    digits = 3 if abs(amount) < 1000 else 6
    return f"{amount:+.{digits}g}" if amount else "0"


def extent_text(size: float) -> str:
    """A path size to both sides."""
    return f"±{amount_text(size)[1:]}"


def direction_title(number: int, name: str) -> str:
    """Number and name of a direction."""
    return f"{number} {name}".strip()


def place(generator: FrozenGenerator, layers: LayerRange | str = "all") -> str:
    """The generator, and the layers that are reached if they are not all; "each" for those of each direction."""
    reached = {ALL: "", EACH: "each in its own layers"}.get(str(layers), f"layers {layers}")
    return joined(Path(generator.name).name, reached)


def directions_settings(directions: Directions | None, generator: FrozenGenerator) -> dict[str, object]:
    """Settings of a picture that say which directions and generator it shows."""
    return {
        "directions": None if directions is None else directions.source,
        "generator": generator.name,
        "generator_sha256": generator.sha256,
        "truncation": generator.truncation,
    }
