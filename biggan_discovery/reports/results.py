"""What was measured of sets of directions: what tables, JSON and pages are made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from biggan_discovery.evaluation.estimates import Estimate, Ratio
from biggan_discovery.evaluation.suite import Judged, Suite
from biggan_discovery.generators import FrozenGenerator


@dataclass
class Results:
    """Sets of directions and their figures.

    Attributes:
        sets: the sets with all that came out.
        suite: the metrics and their sizes.
        notes: sentences for the reader, such as metrics that could not be measured.
        costs: planned images through the generator, by what they are for.
        command: that makes the same report; "" if there is none.
        histories: histories of the searches by label, as far as they are known.
    """

    sets: list[Judged]
    suite: Suite
    notes: list[str]
    costs: dict[str, int]
    command: str = ""
    histories: dict[str, Path] | None = None

    @property
    def generator(self) -> FrozenGenerator:
        """What the sets were judged in."""
        return self.sets[0].view.generator

    @property
    def figures(self) -> dict[str, dict[str, Estimate | Ratio]]:
        """Figures by set and key, such as `figures["random"]["recovery"].mean`."""
        return {each.label: each.figures for each in self.sets}

    @property
    def of_directions(self) -> dict[str, dict[str, list[Estimate]]]:
        """Figures of each direction by set and key, such as "activeness"."""
        return {each.label: each.of_directions for each in self.sets}
