"""Ranges of a generator's layers, as `--layers` names them. Needs no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from biggan_discovery.errors import UserError, near_matches

ALL = "all"
EACH = "each"
"""What a search layer by layer is asked for with, and what a file of directions for different layers says."""
THIRDS = ("coarse", "mid", "fine")
_RANGE = re.compile(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?")


@dataclass(frozen=True)
class LayerRange:
    """Layers `first` to `last`, both included, of a generator with `num_layers` layers.

    Its string is what `parse_layers` reads and what files hold: "all", "4-8", "3", or the word that was given for it.

    Args:
        first: first layer, counted from 0.
        last: last layer, at least `first` and below `num_layers`.
        num_layers: layers of the generator.
        word: "coarse", "mid" or "fine" if the range was given as such. Ranges that differ in the word only are equal.

    Example:
        >>> str(parse_layers("0-4", num_layers=5)), str(LayerRange(1, 2, num_layers=5))
        ('all', '1-2')
    """

    first: int
    last: int
    num_layers: int
    word: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        if self.covers_all:
            return ALL
        return self.word or (str(self.first) if self.first == self.last else f"{self.first}-{self.last}")

    @property
    def covers_all(self) -> bool:
        """Whether no layer is left out."""
        return self.last - self.first + 1 == self.num_layers

    def chunk(self, z_dim: int) -> slice:
        """The coordinates that these layers see if z is cut into one equal chunk per layer, in the order of layers."""
        width = z_dim // self.num_layers
        return slice(self.first * width, (self.last + 1) * width)


def parse_layers(text: str, num_layers: int) -> LayerRange:
    """Parse the layers that a string names.

    Args:
        text: "all"; "coarse", "mid" or "fine" for a third of the layers (if `num_layers` is not divisible by three,
            later thirds have one layer more); a range such as "4-8", both ends included; or one layer, such as "3".
            Case and spaces do not matter.
        num_layers: layers of the generator, counted from 0.

    Raises:
        UserError: another word, a range that runs backwards or past the last layer, or thirds of fewer than three.

    Example:
        >>> parse_layers("mid", num_layers=6)
        LayerRange(first=2, last=3, num_layers=6)
    """
    word = str(text).strip().lower()
    last_layer = num_layers - 1
    if word == ALL:
        return LayerRange(0, last_layer, num_layers)
    if word in THIRDS:
        if num_layers < len(THIRDS):
            count = "one layer" if num_layers == 1 else f"{num_layers} layers"
            raise UserError(f"layers {word!r}: this generator has {count}, too few for thirds; give all")
        third = THIRDS.index(word)
        first, end = (num_layers * part // len(THIRDS) for part in (third, third + 1))
        return LayerRange(first, end - 1, num_layers, word)
    match = _RANGE.fullmatch(word)
    if match is None:
        near = near_matches(word, (ALL, *THIRDS))
        raise UserError(f"layers {word[:40]!r}: give all, coarse, mid, fine, or a range such as 4-8{near}")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise UserError(f"layers {word!r} run backwards; write {last}-{first}")
    if last > last_layer:
        raise UserError(f"layers {word!r}: this generator has layers 0 to {last_layer}")
    return LayerRange(first, last, num_layers)


def is_each(text: str | None) -> bool:
    """Whether a string asks for every layer by itself. Case and spaces do not matter, as in `parse_layers`."""
    return text is not None and text.strip().lower() == EACH


def is_layers(text: object) -> bool:
    """Whether a value is a string that `parse_layers` reads for some generator.

    Example:
        >>> is_layers("4-8"), is_layers("each")
        (True, False)
    """
    return isinstance(text, str) and (text in (ALL, *THIRDS) or _RANGE.fullmatch(text) is not None)


def to_layer_range(layers: LayerRange | str, num_layers: int) -> LayerRange:
    """`layers` as a range, parsed if it is a string.

    Raises:
        UserError: as `parse_layers`, or a range of a generator with another number of layers.
    """
    if not isinstance(layers, LayerRange):
        return parse_layers(layers, num_layers)
    if layers.num_layers != num_layers:
        raise UserError(f"layers {layers} are of {layers.num_layers} layers, but this generator has {num_layers}")
    return layers
