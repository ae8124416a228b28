"""How long a measurement will take, said once, after the first images."""

from __future__ import annotations

import logging
import time

from biggan_discovery.output import human_time
from biggan_discovery.progress import Progress

_SECONDS = 5.0  # of images before a forecast is made

_log = logging.getLogger(__name__)


class Forecast:
    """Tells from the pace of the first images how long all of them will take.

    Args:
        images: all images that will be generated.
        quiet: say nothing.

    Example:
        >>> forecast = Forecast(5_000)
        >>> with forecast.progress(100, "activeness", unit="image", images=100) as progress:
        ...     progress.advance(10)
    """

    def __init__(self, images: int, *, quiet: bool = False):
        self._images, self._said = images, quiet
        self._made, self._seconds = 0.0, 0.0

    def progress(self, total: int, label: str, *, unit: str, images: int, quiet: bool = False) -> Progress:
        """A progress bar for some of the images.

        Args:
            total: number of units of work.
            label: name of the operation, a few words.
            unit: name of one unit, singular.
            images: images that these units take; 0 if their pace says nothing.
            quiet: show no progress.
        """
        return _Watched(self, images, total, label, unit=unit, quiet=quiet)

    def made(self, images: float, seconds: float, *, last: bool) -> None:
        """Images that were made in some seconds; the first forecast is the only one.

        Args:
            images: number of images, a fraction of a unit's if need be.
            seconds: time that they took.
            last: no more images follow in this operation.
        """
        self._made += images
        self._seconds += seconds
        if not self._said and self._made and (last or self._seconds >= _SECONDS):
            self._said = True
            left = (self._images - self._made) * self._seconds / self._made
            if left > _SECONDS:
                _log.info("about %s left for %s images", human_time(left), f"{self._images - self._made:,.0f}")


class _Watched(Progress):
    """A progress bar that tells a forecast of the images made."""

    def __init__(self, forecast: Forecast, images: int, total: int, label: str, *, unit: str, quiet: bool):
        super().__init__(total, label, unit=unit, quiet=quiet)
        self._forecast, self._each, self._until = forecast, images / max(total, 1), total
        self._last = time.monotonic()

    def advance(self, count: int = 1, **figures: float) -> None:
        super().advance(count, **figures)
        now = time.monotonic()
        if self._each:
            self._until -= count
            self._forecast.made(count * self._each, now - self._last, last=self._until <= 0)
        self._last = now
