"""Find, judge and use interpretable directions in the latent space of pretrained BigGANs.

`discover` finds directions, `evaluate` and `compare` judge them, `draw` and `edit` show what they do,
`contact_sheet` shows what there is to edit, `invert` finds the latent of a photo, and `train` makes a BigGAN to begin
with. The names below are imported when first used, so that the command line starts without loading torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from biggan_discovery.lazy import attach

if TYPE_CHECKING:
    from biggan_discovery.directions import Directions, orthonormalize
    from biggan_discovery.explorer.widget import Sliders
    from biggan_discovery.generators import FrozenGenerator, FunctionGenerator, load_generator
    from biggan_discovery.objectives.hessian_penalty import hessian_penalty
    from biggan_discovery.objectives.hessian_penalty_numpy import hessian_penalty_numpy
    from biggan_discovery.objectives.orojar import orojar
    from biggan_discovery.objectives.spectral_penalty import spectral_penalty
    from biggan_discovery.rendering import Edit, contact_sheet, draw, edit
    from biggan_discovery.reports.compare import compare
    from biggan_discovery.reports.evaluate import evaluate
    from biggan_discovery.search import discover, ganspace, invert, jacobian, sefa
    from biggan_discovery.training import train

_HOMES = {
    "Directions": "directions",
    "Edit": "rendering",
    "FrozenGenerator": "generators",
    "FunctionGenerator": "generators",
    "Sliders": "explorer.widget",
    "compare": "reports.compare",
    "contact_sheet": "rendering",
    "discover": "search",
    "draw": "rendering",
    "edit": "rendering",
    "evaluate": "reports.evaluate",
    "ganspace": "search",
    "hessian_penalty": "objectives.hessian_penalty",
    "hessian_penalty_numpy": "objectives.hessian_penalty_numpy",
    "invert": "search",
    "jacobian": "search",
    "load_generator": "generators",
    "orojar": "objectives.orojar",
    "orthonormalize": "directions",
    "sefa": "search",
    "spectral_penalty": "objectives.spectral_penalty",
    "train": "training",
}

__all__ = [
    "Directions",
    "Edit",
    "FrozenGenerator",
    "FunctionGenerator",
    "Sliders",
    "compare",
    "contact_sheet",
    "discover",
    "draw",
    "edit",
    "evaluate",
    "ganspace",
    "hessian_penalty",
    "hessian_penalty_numpy",
    "invert",
    "jacobian",
    "load_generator",
    "orojar",
    "orthonormalize",
    "sefa",
    "spectral_penalty",
    "train",
]
__getattr__ = attach(__name__, _HOMES)
