"""Which directions a picture shows if nobody says so: active ones first, and as many as fit."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Sequence

from biggan_discovery.directions import Directions
from biggan_discovery.directions.activity import active_first, inactive, stored_changes
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.rendering.sheet import Label, Sheet, comfortable_scale

_MOST_BYTES = {"gif": 3 * 1_800_000}  # of a frame; a film of 60 such frames is a GIF of about 15 MB
_USUAL_BYTES = 3 * 4_000_000
_FEWEST = 3
_log = logging.getLogger(__name__)


def inactive_rows(directions: Directions | None) -> frozenset[int]:
    """Inactive directions by the strengths in their file; none if it has no strengths."""
    changes = None if directions is None else stored_changes(directions)
    return frozenset() if changes is None else frozenset(inactive(changes))


def rows_that_fit(
    directions: Directions,
    generator: FrozenGenerator,
    form: str,
    size: tuple[int, int],
    *,
    rows: Sequence[int] | None = None,
    blocks: int = 1,
    scale: int | None = None,
) -> list[int]:
    """Directions to show: active ones first, and as many as fit in a picture that is easy to look at; at least three.

    Logs how many are left out.

    Args:
        directions: the directions.
        generator: the generator.
        form: format of the picture.
        size: rows and columns of images in a block.
        rows: directions to choose from. Defaults to all.
        blocks: blocks of each direction.
        scale: factor by which images are enlarged; None for the usual one.
    """
    changes = stored_changes(directions)
    every = range(len(directions))
    chosen = set(every if rows is None else rows)
    order = [row for row in (every if changes is None else active_first(changes)) if row in chosen]
    tile = generator.resolution
    most = _MOST_BYTES.get(form, _USUAL_BYTES)

    def fits(count: int) -> bool:
        labels = [Label(str(row), directions.names[row]) for row in order[:count] for _ in range(blocks)]
        try:
            sheet = Sheet(labels, tile=tile, rows=size[0], columns=size[1], scale=scale or comfortable_scale(tile))
        except UserError:  # It is larger than any picture may be.
            return False
        return sheet.nbytes <= most

    # The first count that does not fit, by bisection.
    shown = bisect_left(range(len(order)), True, lo=min(_FEWEST, len(order)), key=lambda count: not fits(count + 1))
    if shown < len(order):
        first = "" if changes is None else ", active ones first"
        _log.info("showing %d of %d directions%s; --only all shows all", shown, len(order), first)
    return order[:shown]
