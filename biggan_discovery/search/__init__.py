"""Finding directions: methods, solvers of objectives, and `discover`, which runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biggan_discovery.lazy import attach

if TYPE_CHECKING:
    from biggan_discovery.search.discovery import discover
    from biggan_discovery.search.inverting import Inversion, invert
    from biggan_discovery.search.method import Found
    from biggan_discovery.search.methods.ganspace import ganspace
    from biggan_discovery.search.methods.jacobian import jacobian
    from biggan_discovery.search.methods.sefa import sefa

_HOMES = {
    "Found": "method",
    "Inversion": "inverting",
    "discover": "discovery",
    "ganspace": "methods.ganspace",
    "invert": "inverting",
    "jacobian": "methods.jacobian",
    "sefa": "methods.sefa",
}
__all__ = ["Found", "Inversion", "discover", "ganspace", "invert", "jacobian", "sefa"]
__getattr__ = attach(__name__, _HOMES)
