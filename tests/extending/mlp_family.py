"""Multilayer perceptrons, each a folder with mlp.safetensors.

The file holds 0.weight, 0.bias, 1.weight, 1.bias and so on. The last layer has C · H · W outputs, and the file's header
says {"shape": "C,H,W"}.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from biggan_discovery.errors import UserError
from biggan_discovery.generators.family import Family, Listing

if TYPE_CHECKING:
    from biggan_discovery.generators import FrozenGenerator

WEIGHTS = "mlp.safetensors"


def _recognises(path: Path) -> bool:
    return (path / WEIGHTS).is_file()


def _load(path: Path, *, name: str, truncation: float = 1.0) -> FrozenGenerator:
    # torch is imported here, as listing generators does without it.
    import hashlib

    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file
    from torch import nn

    from biggan_discovery.generators import FunctionGenerator

    file = path / WEIGHTS
    try:
        tensors = load_file(file)
        with safe_open(file, "pt") as stored:
            shape = tuple(map(int, stored.metadata()["shape"].split(",")))
        layers: list[nn.Module] = []
        for index in range(len(tensors) // 2):
            weight, bias = tensors[f"{index}.weight"], tensors[f"{index}.bias"]
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            linear.load_state_dict({"weight": weight, "bias": bias})
            layers += [linear, nn.Tanh()]
        network = nn.Sequential(*layers, nn.Unflatten(1, shape))
        first = tensors["0.weight"]
        generator = FunctionGenerator(
            network, z_dim=first.shape[1], projections=first, truncation=truncation, name=name
        )
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise UserError(f"{file} is not a multilayer perceptron: {error}") from error
    generator.sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return generator


FAMILY = Family(
    name="multilayer perceptron",
    looks_for=f"a folder with {WEIGHTS}",
    recognises=_recognises,
    load=_load,
    class_names=lambda _: ("0",),
    describe=lambda path: Listing(None, (path / WEIGHTS).stat().st_size),
)
