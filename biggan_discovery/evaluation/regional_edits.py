"""Simple edits of an image or of a part of it, by name: what targets ask for, and what directions are named after."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from biggan_discovery.errors import UserError, near_matches

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

WELL = 0.3
"""Cosine between the wanted and the given change below which a direction does not make an edit."""
_NUMBER = r"\s*[\d.eE+-]+\s*"
_ITEM = re.compile(rf"\s*([^,@]+?)\s*(?:@({_NUMBER}(?:,{_NUMBER}){{3}}|[^,]+))?\s*(?:,|$)")
_SUGGESTED = re.compile(r"([^ ]+)(?: \(([^()]+)\))?(?: \d+)?")  # hue, hue (upper), hue (upper) 2


class RegionalEdit(NamedTuple):
    """An edit of the whole image or of a part.

    Attributes:
        title: as it was written.
        edit: name of the edit, see `numerics.tangents.EDITS`.
        region: named part, box or file of a mask that it is restricted to; "" for the whole image.
    """

    title: str
    edit: str
    region: str = ""

    def weights(self, size: tuple[int, int]) -> Float[Tensor, "H W"] | None:
        """The weights of the region, see `region_weights`; None for the whole image."""
        from biggan_discovery.directions.region import region_weights

        if not self.region:
            return None
        is_file = Path(self.region).suffix != "" and Path(self.region).is_file()
        return region_weights(size, **{"mask" if is_file else "region": self.region})


def parse_edits(text: str) -> list[RegionalEdit]:
    """Edits from a list such as "zoom,hue@upper,saturation@0,0.5,1,1,warmer@sky.png".

    Raises:
        UserError: for an unknown edit, with near matches, one that is given twice, or an empty list.

    Example:
        >>> [each.region for each in parse_edits("zoom,hue@0,0,1,0.5")]
        ['', '0,0,1,0.5']
    """
    from biggan_discovery.numerics.tangents import EDITS

    wanted, place = [], 0
    while place < len(text):
        item = _ITEM.match(text, place)
        name = item[1] if item else text[place : place + 40]
        if item is None or name not in EDITS:
            raise UserError(f"target has {name!r}; it should be of {', '.join(EDITS)}{near_matches(name, EDITS)}")
        region = (item[2] or "").strip()
        wanted.append(RegionalEdit(f"{name}@{region}" if region else name, name, region))
        place = item.end()
    titles = [each.title for each in wanted]
    if not wanted or len(set(titles)) < len(titles):
        raise UserError(f"target is {text[:60]!r}; it should be one or more different edits, such as zoom,shift-x")
    return wanted


def edit_of_name(name: str) -> RegionalEdit | None:
    """The edit that a direction is named after, by the method target or by `name --suggest`; None for other names.

    Example:
        >>> edit_of_name("hue (upper) 2")
        RegionalEdit(title='hue@upper', edit='hue', region='upper')
    """
    suggested = _SUGGESTED.fullmatch(name)
    written = "@".join(filter(None, suggested.groups())) if suggested else name
    try:
        found = parse_edits(written)
    except UserError:
        return None
    return found[0] if len(found) == 1 else None
