"""Ranges of a generator's layers, as `--layers` names them. Needs no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from biggan_discovery.errors import UserError, near_matches

ALL = "all"
THIRDS = ("coarse", "mid", "fine")
_RANGE = re.compile(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?")


@dataclass(frozen=True)
class LayerRange:
    """Layers `first` to `last`, both included, of a generator that has `num_layers`; `text` names them."""

    text: str
    first: int
    last: int
    num_layers: int

    def __str__(self) -> str:
        return self.text

    @property
    def are_all(self) -> bool:
        """Whether no layer is left out."""
        return self.last - self.first + 1 == self.num_layers

    def chunk(self, z_dim: int) -> slice:
        """The coordinates that these layers see where z is cut into one equal chunk per layer, in their order."""
        width = z_dim // self.num_layers
        return slice(self.first * width, (self.last + 1) * width)


def parse_layers(text: str, num_layers: int) -> LayerRange:
    """The layers that a text names.

    Args:
        text: "all"; "coarse", "mid" or "fine", the thirds of the layers in their order (where the number of layers is
            no multiple of three, later thirds are larger by one); a range such as "4-8", both ends included; or one
            layer, such as "3". Case and spaces do not matter.
        num_layers: how many layers the generator has; they are counted from 0.

    Raises:
        UserError: another word, a range that runs backwards or past the last layer, or thirds of fewer than three.
    """
    word = str(text).strip().lower()
    last_layer = num_layers - 1
    if word == ALL:
        return LayerRange(ALL, 0, last_layer, num_layers)
    if word in THIRDS:
        if num_layers < len(THIRDS):
            count = "one layer" if num_layers == 1 else f"{num_layers} layers"
            raise UserError(f"layers {word!r}: this generator has {count}, which makes no thirds; give all")
        third = THIRDS.index(word)
        first, end = (num_layers * part // len(THIRDS) for part in (third, third + 1))
        return LayerRange(word, first, end - 1, num_layers)
    match = _RANGE.fullmatch(word)
    if match is None:
        near = near_matches(word, (ALL, *THIRDS))
        raise UserError(f"layers {word[:40]!r}: give all, coarse, mid, fine, or a range such as 4-8{near}")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise UserError(f"layers {word!r} run backwards; write {last}-{first}")
    if last > last_layer:
        raise UserError(f"layers {word!r}: this generator has layers 0 to {last_layer}")
    canonical = str(first) if first == last else f"{first}-{last}"
    return LayerRange(ALL if (first, last) == (0, last_layer) else canonical, first, last, num_layers)
