"""Find, judge and use interpretable directions in the latent space of pretrained BigGANs.

The public names below are imported when first used, so that the command line starts without loading torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from biggan_discovery.directions import Directions, orthonormalize
    from biggan_discovery.generators import FrozenGenerator, FunctionGenerator, load_generator
    from biggan_discovery.objectives import hessian_penalty, orojar
    from biggan_discovery.search import discover, ganspace, jacobian, sefa

_HOME = {
    "Directions": "directions",
    "FrozenGenerator": "generators",
    "FunctionGenerator": "generators",
    "discover": "search",
    "ganspace": "search",
    "hessian_penalty": "objectives",
    "jacobian": "search",
    "load_generator": "generators",
    "orojar": "objectives",
    "orthonormalize": "directions",
    "sefa": "search",
}

__all__ = [
    "Directions",
    "FrozenGenerator",
    "FunctionGenerator",
    "discover",
    "ganspace",
    "hessian_penalty",
    "jacobian",
    "load_generator",
    "orojar",
    "orthonormalize",
    "sefa",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
