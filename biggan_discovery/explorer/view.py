"""What a page asks to see: samples of a generator, moved along some directions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from biggan_discovery.errors import UserError
from biggan_discovery.rendering.motion import Edit
from biggan_discovery.rendering.table import RANGES, is_amount

_MOST_PICTURES, _MOST_EDITS, _MOST_CLASSES = 64, 64, 16
_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class View:
    """Samples, and steps along directions.

    Attributes:
        seed: of the latents.
        pick: numbers of the samples, as on a contact sheet of the seed.
        classes: (class index, weight) pairs that are mixed; empty for the classes of the directions file.
        truncation: of the generator; None for that of the directions file.
        latents: key of latents that were given to the server; "" for those by the seed.
        edits: the steps.
    """

    seed: int = 0
    pick: tuple[int, ...] = (0,)
    classes: tuple[tuple[int, float], ...] = ()
    truncation: float | None = None
    latents: str = ""
    edits: tuple[Edit, ...] = ()

    @classmethod
    def read(cls, value: Any) -> View:
        """A view from JSON: its attributes by name, edits as [direction, amount, layers or null].

        Raises:
            UserError: says what is wrong.

        Example:
            >>> View.read({"seed": 3, "edits": [[0, 1.5, None]]}).edits
            (Edit(direction=0, amount=1.5, layers=None),)
        """
        if not isinstance(value, dict):
            raise UserError("a view should be an object")
        if unknown := value.keys() - cls.__dataclass_fields__.keys():
            raise UserError(f"a view has no {min(unknown)[:40]!r}")
        seed, latents = value.get("seed", 0), value.get("latents", "")
        if not _is_integer(seed) or not 0 <= seed <= (RANGES["seed"][1] or 0):
            raise UserError(f"seed is {_short(seed)}; it should be an integer of at least 0")
        if latents != "" and not (isinstance(latents, str) and _KEY.fullmatch(latents)):
            raise UserError(f"latents are {_short(latents)}; they should be what the upload returned")
        return cls(
            seed,
            _pick(value.get("pick", [0])),
            _classes(value.get("classes", [])),
            _truncation(value.get("truncation")),
            latents,
            _edits(value.get("edits", [])),
        )

    @property
    def unedited(self) -> View:
        """The same samples as they are."""
        return replace(self, edits=())

    @property
    def class_text(self) -> str | None:
        """The classes as `--class` takes them: "3", or "0:0.7, 4:0.3" for a mix; None for those of the file."""
        if not self.classes:
            return None
        if len(self.classes) == 1:
            return str(self.classes[0][0])
        return ", ".join(f"{index}:{weight:g}" for index, weight in self.classes)


def _pick(value: Any) -> tuple[int, ...]:
    most = RANGES["samples"][1] or 0
    _check_list("pick", value, 1, _MOST_PICTURES)
    if not all(_is_integer(each) and 0 <= each < most for each in value):
        raise UserError(f"pick has {_short(value)}; numbers of samples are 0 to {most - 1}")
    return tuple(dict.fromkeys(value))


def _classes(value: Any) -> tuple[tuple[int, float], ...]:
    _check_list("classes", value, 0, _MOST_CLASSES)
    pairs = [each for each in value if isinstance(each, list) and len(each) == 2]
    if len(pairs) < len(value) or not all(_is_integer(index) and is_amount(weight) for index, weight in pairs):
        raise UserError(f"classes are {_short(value)}; they should be pairs of a class index and a weight")
    mixed = {index: float(weight) for index, weight in pairs if weight > 0}
    if any(weight < 0 for _, weight in pairs) or len({index for index, _ in pairs}) < len(pairs):
        raise UserError("weights of classes should be at least 0, one for each class")
    if pairs and not mixed:
        raise UserError("the weights of all classes are 0; give one of them a weight")
    return tuple(mixed.items())


def _truncation(value: Any) -> float | None:
    if value is None:
        return None
    if not is_amount(value) or not 0 < value <= 1:
        raise UserError(f"truncation is {_short(value)}; it should be above 0 and at most 1")
    return float(value)


def _edits(value: Any) -> tuple[Edit, ...]:
    _check_list("edits", value, 0, _MOST_EDITS)
    edits: dict[int, Edit] = {}
    for each in value:
        if not isinstance(each, list) or len(each) != 3:
            raise UserError(f"an edit is {_short(each)}; it should be a direction, an amount and layers or null")
        direction, amount, layers = each
        if not _is_integer(direction) or not is_amount(amount):
            raise UserError(f"an edit is {_short(each)}; give a direction's number and a finite amount")
        if layers is not None and not isinstance(layers, str):
            raise UserError(f"layers are {_short(layers)}; they should be a string such as mid or 4-8, or null")
        if direction in edits:
            raise UserError(f"direction {direction} is set twice")
        edits[direction] = Edit(direction, float(amount), layers or None)
    return tuple(edits.values())


def _check_list(name: str, value: Any, least: int, most: int) -> None:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise UserError(f"{name} is {_short(value)}; it should be a list of {least} to {most} items")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
