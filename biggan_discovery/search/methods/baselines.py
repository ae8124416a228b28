"""Baselines: directions without a search, for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biggan_discovery.search.method import ClosedForm, Found, Settings

if TYPE_CHECKING:
    from biggan_discovery.generators import FrozenGenerator


class _Start(ClosedForm):
    """The start of a search by Adam with the same seed."""

    paper = ""
    Settings = Settings
    _name: str

    def find(self, generator: FrozenGenerator, settings: Settings, *, quiet: bool) -> Found:
        from biggan_discovery.directions import initial_matrix

        space = generator.search_space(settings.layers)
        return Found(initial_matrix(self._name, settings.directions, generator.z_dim, settings.seed, space), {}, 0)


class Random(_Start):
    """Uniformly distributed orthonormal frames."""

    _name = "random"


class Coordinates(_Start):
    """The first axes of the search space."""

    _name = "coordinates"
