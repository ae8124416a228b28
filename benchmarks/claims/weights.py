"""The weight λ of each regularizer: at the base, its gradient is as large as that of the adversarial loss.

Penalties of networks of different sizes are of different orders, and so are different penalties of one network. With
the same size of gradients, all regularizers have the same say.
"""

from __future__ import annotations

import functools
import statistics

import torch
from torch import Tensor

from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.runs.folder import Saved
from biggan_discovery.training.architecture import Architecture
from biggan_discovery.training.networks import Networks
from biggan_discovery.training.regularizers.regularizer import Regularizer
from biggan_discovery.training.regularizers.table import complete_regularizer, regularizer_of
from biggan_discovery.training.settings import complete

_SIZES = ("resolution", "width", "z_dim", "shared_dim", "chunks", "attention")
_BATCHES, _BATCH = 4, 32


@arithmetic("float32")
def balanced_weight(base: Saved, name: str, classes: int) -> float:
    """λ to two digits: the mean norm of the loss's gradient over that of the penalty's, at the weights of a base."""
    sizes = {key: base.settings[key] for key in _SIZES}
    settings = complete({**sizes, "steps": 1, "regularizer": name}, resolution=sizes["resolution"], rendered=True)
    architecture = Architecture(classes=classes, **sizes)
    networks = Networks(architecture, settings, torch.device("cpu"))
    networks.start_from(base.tensors, str(base.path))
    regularizer = regularizer_of(complete_regularizer(settings, architecture.activations, tuned=True))
    assert regularizer is not None
    ratios = [_ratio(networks, regularizer, index) for index in range(_BATCHES)]
    return float(f"{statistics.median(ratios):.2g}")


def _ratio(networks: Networks, regularizer: Regularizer, index: int) -> float:
    """Of the gradients' norms, for one batch."""
    source = torch.Generator().manual_seed(index)
    G = networks.G
    z = torch.randn(_BATCH, G.architecture.z_dim, generator=source)
    y = torch.randint(G.architecture.classes, (_BATCH,), generator=source)
    activations = functools.partial(G.activations, y=y, names=regularizer.layers)
    loss = -networks.D(G(z, y), y).mean()
    return _norm(loss, networks) / _norm(regularizer.penalty(activations, z, generator=source), networks)


def _norm(value: Tensor, networks: Networks) -> float:
    gradients = torch.autograd.grad(value, list(networks.G.parameters()), allow_unused=True)
    return torch.stack([each.norm() for each in gradients if each is not None]).norm().item()
