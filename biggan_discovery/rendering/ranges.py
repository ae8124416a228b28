"""How far along a direction pictures are known to make sense."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import setting_for
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.rendering.captions import amount_text, direction_title, extent_text

_log = logging.getLogger(__name__)
_SHOWN = 3


def range_of(directions: Directions, generator: FrozenGenerator, direction: int) -> tuple[float, float]:
    """The recommended amounts of a direction, (least, most).

    They are those in the file of `directions`, or else the path size of the search to both sides: farther out, no image
    has been looked at.
    """
    known = directions.recommended_ranges[direction]
    if known is not None:
        return known
    size = setting_for(directions, generator, "path_size")
    return -size, size


def warn_beyond(
    directions: Directions, generator: FrozenGenerator, amounts: Mapping[int, float], *, to_both_sides: bool = False
) -> None:
    """Log one warning if amounts are beyond the recommended ranges of their directions.

    Args:
        directions: the directions.
        generator: the generator.
        amounts: by direction.
        to_both_sides: amounts are the ends of both sides.
    """
    beyond = []
    for direction, amount in amounts.items():
        least, most = range_of(directions, generator, direction)
        if not least <= amount <= most or (to_both_sides and -amount < least):
            size = extent_text(amount) if to_both_sides else amount_text(amount)
            ends = f"{amount_text(least)} to {amount_text(most)}"
            beyond.append(f"{size} along direction {direction_title(direction, directions.names[direction])} ({ends})")
    if beyond:
        more = f" and {len(beyond) - _SHOWN} more" if len(beyond) > _SHOWN else ""
        shown = ", ".join(beyond[:_SHOWN]) + more
        _log.warning("beyond the recommended range, where images may be meaningless: %s", shown)
