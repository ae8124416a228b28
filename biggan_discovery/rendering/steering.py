"""Directions on top of a walk: where they take a latent at each time."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.activity import stored_changes
from biggan_discovery.directions.defaults import layers_of
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.arithmetic import in_float64, widest
from biggan_discovery.rendering.captions import amount_text, direction_title
from biggan_discovery.rendering.envelopes import Envelope, read_envelopes, spread
from biggan_discovery.rendering.holding import held_amounts
from biggan_discovery.rendering.motion import generate
from biggan_discovery.rendering.paths import great_circle, small_circle

_log = logging.getLogger(__name__)
Amounts = float | Sequence[float]
"""An amount for the whole film, or several that are reached one after the other."""


class Steering:
    """What directions add to latents, at amounts that change over time.

    Args:
        generator: the generator.
        directions: the directions.
        tracks: amounts of those that move.
        path: of `table.PATHS`.
        reference: the direction that gives way on a small circle.
        held: directions whose effect stays as it is.

    Raises:
        UserError: a direction both moves and is held.
    """

    def __init__(
        self,
        generator: FrozenGenerator,
        directions: Directions,
        tracks: Sequence[Envelope],
        path: str,
        reference: int | None,
        held: Sequence[int],
    ):
        twice = [row for row in held if row in {track.direction for track in tracks}]
        if twice:
            raise UserError(f"direction {twice[0]} cannot both move and be held")
        self._generator, self._directions, self._tracks = generator, directions, tracks
        self._path, self._reference, self._held = path, reference, list(dict.fromkeys(held))
        self._extremes = dict.fromkeys(self._held, (0.0, 0.0))

    def moved(self, z: Tensor, y: Tensor, seconds: np.ndarray) -> Tensor:
        """Latents (N, ...) moved by the amounts of their times (N,)."""
        amounts = [torch.from_numpy(track.at(seconds)) for track in self._tracks]

        def position(share: float) -> Tensor:
            moved = z
            for track, amount in zip(self._tracks, amounts, strict=True):
                moved = self._along(moved, track.direction, share * amount)
            return moved

        if not self._held:
            return position(1.0)
        farthest = max(float(amount.abs().max()) for amount in amounts)
        b = held_amounts(
            lambda latents: torch.cat(list(generate(self._generator, latents, y))),
            position,
            self._plus,
            len(self._held),
            farthest,
        )
        for place, row in enumerate(self._held):
            least, most = self._extremes[row]
            self._extremes[row] = min(least, float(b[:, place].min())), max(most, float(b[:, place].max()))
        return self._plus(position(1.0), b)

    def report(self) -> None:
        """Log what the held directions took."""
        for row, (least, most) in self._extremes.items():
            title = direction_title(row, self._directions.names[row])
            _log.info("direction %s is held by amounts from %s to %s", title, amount_text(least), amount_text(most))

    def _plus(self, z: Tensor, amounts: Tensor) -> Tensor:
        for place, row in enumerate(self._held):
            z = self._shifted(z, row, amounts[:, place])
        return z

    def _along(self, z: Tensor, row: int, amounts: Tensor) -> Tensor:
        if self._path == "straight":
            return self._shifted(z, row, amounts)
        space = self._generator.search_space(self._layers(row))
        part, q = z[..., space], self._directions.row(row)[space].to(z.device)
        along = _as_rows(amounts, part)
        if self._path == "great-circle":
            turned = great_circle(part, q, along)
        else:
            assert self._reference is not None
            turned = small_circle(part, q, self._directions.row(self._reference)[space].to(z.device), along)
        delta = torch.zeros_like(z)
        delta[..., space] = turned - part
        return self._generator.shift(z, delta, self._layers(row))

    def _shifted(self, z: Tensor, row: int, amounts: Tensor) -> Tensor:
        q = in_float64(self._directions.row(row).to(z.device))
        delta = (_as_rows(amounts, z)[..., None] * q).to(z)
        return self._generator.shift(z, delta, self._layers(row))

    def _layers(self, row: int) -> LayerRange:
        return layers_of(self._directions, self._generator, row)


def _as_rows(amounts: Tensor, z: Tensor) -> Tensor:
    """Amounts (N,) for each latent of z (N, ..., n)."""
    return amounts.to(widest(z.device)).view(-1, *[1] * (z.ndim - 2)).expand(z.shape[:-1])


def tracks_of(
    directions: Directions,
    moves: Mapping[int | str, Amounts],
    envelope: str | os.PathLike[str] | None,
    duration: float,
    *,
    loop: bool,
) -> list[Envelope]:
    """The amounts of all directions that move; arguments as in `walk`. Warns of a loop that jumps.

    Raises:
        UserError: a direction that does not exist or is moved twice, or amounts that are not numbers.
    """
    tracks: list[Envelope] = []
    for direction, amounts in moves.items():
        values = [amounts] if isinstance(amounts, int | float) else list(amounts)
        tracks.append(spread(directions.index(str(direction)), values, duration, loop=loop))
    if envelope is not None:
        read = read_envelopes(envelope, directions)
        tracks += read
        for track in read if loop else []:
            ends = track.at(np.array([0.0, duration]))
            if abs(ends[0] - ends[1]) > 1e-6:
                title = direction_title(track.direction, directions.names[track.direction])
                _log.warning(
                    "the loop jumps: direction %s begins at %s and ends at %s",
                    title,
                    amount_text(ends[0]),
                    amount_text(ends[1]),
                )
    rows = [track.direction for track in tracks]
    for row in rows:
        if rows.count(row) > 1:
            raise UserError(f"direction {row} is moved twice; give its amounts once")
    return tracks


def reference_of(
    directions: Directions, tracks: Sequence[Envelope], path: str, reference: int | str | None
) -> int | None:
    """The direction that gives way on a small circle; None on other paths.

    Raises:
        UserError: it moves itself, or it is not given and the file has no strengths.
    """
    if path != "small-circle":
        if reference is not None:
            raise UserError(f"reference does nothing with the path {path}; it is for small-circle")
        return None
    moving = {track.direction for track in tracks}
    if reference is not None:
        row = directions.index(str(reference))
        if row in moving:
            raise UserError(f"direction {row} cannot both move and be the reference of the small circle")
        return row
    changes = stored_changes(directions)
    still = [row for row in range(len(directions)) if row not in moving]
    if changes is None or not still:
        raise UserError(f"{directions.source} does not say which direction changes images least; give a reference")
    row = min(still, key=lambda each: changes[each])
    _log.info("the small circle's reference is direction %s, which changes images least", row)
    return row


def in_words(track: Envelope, directions: Directions) -> str:
    """A direction and its amounts."""
    amounts = [amount_text(amount) for amount in track.amounts]
    shown = ":".join(amounts) if len(amounts) <= 8 else f"{len(amounts)} amounts"
    return f"{direction_title(track.direction, directions.names[track.direction])} {shown}"
