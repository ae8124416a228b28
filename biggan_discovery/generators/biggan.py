"""What the two families of BigGANs have in common."""

from __future__ import annotations

import abc
import copy
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from biggan_discovery.errors import UserError
from biggan_discovery.generators import fast, layout
from biggan_discovery.generators.base import FrozenGenerator
from biggan_discovery.generators.factor_predictor import FACTOR_PREDICTOR, FactorPredictor, load_factor_predictor
from biggan_discovery.generators.layer_range import LayerRange


class BigGANBase(FrozenGenerator):
    """A BigGAN in its fast implementation, see `fast`, with its files.

    Args:
        network: see `fast.Network`.
        folder: of the weights, on disk or in a zip; optionally with classes.json and factor_predictor.safetensors.
        num_classes: number of classes.
        name: see `FrozenGenerator`, as all others.
    """

    def __init__(
        self,
        network: fast.Network,
        *,
        folder: Path | zipfile.Path,
        num_classes: int,
        name: str,
        z_dim: int,
        num_layers: int,
        resolution: int,
        truncation: float,
        sha256: str,
        true_directions: Tensor | None = None,
        factor_names: Sequence[str] = (),
        settings: dict[str, int | float] | None = None,
    ):
        super().__init__(
            network,
            name=name,
            z_dim=z_dim,
            num_layers=num_layers,
            resolution=resolution,
            channels=3,
            class_names=layout.read_class_names(folder, num_classes),
            truncation=truncation,
            sha256=sha256,
            true_directions=true_directions,
            factor_names=factor_names,
            settings=settings,
        )
        self._folder = folder

    def reference(self) -> FrozenGenerator:
        """The layers of the original code; see `FrozenGenerator.reference`."""
        network, sha256 = self._read_reference()
        if sha256 != self.sha256:
            raise UserError(f"the weights of {self.name} have changed since they were loaded")
        network = network.to(self.device, self.dtype)
        return copy.deepcopy(self, {id(self.network): network}).requires_grad_().train()

    @abc.abstractmethod
    def _read_reference(self) -> tuple[nn.Module, str]:
        """The network of `reference`, called as `fast.Network`, and the sha256 of the file with its weights."""

    def half_precision(self, dtype: torch.dtype) -> FrozenGenerator:
        """See `FrozenGenerator.half_precision`."""
        copied = copy.deepcopy(self)
        return (
            copied if fast.to_half_precision(cast(nn.Module, copied.network), dtype) else super().half_precision(dtype)
        )

    @property
    def recordable(self) -> bool:
        """In the fast implementation; see `FrozenGenerator.recordable`."""
        return isinstance(self.network, fast.Network)

    def factor_predictor(self) -> FactorPredictor | None:
        """The predictor beside the weights; see `FrozenGenerator.factor_predictor`."""
        path = self._folder / FACTOR_PREDICTOR
        if not self.factor_names or not path.is_file():
            return None
        return load_factor_predictor(path, len(self.factor_names)).to(self.device)

    def _begin(self, z: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return self.begin_shifted(z, y, None)

    @abc.abstractmethod
    def begin_shifted(self, z: Tensor, y: Tensor, shift: Tensor | None) -> tuple[Tensor, ...]:
        """`begin` with a shift of the class embedding, (N, size) or (N, num_layers, size); None for no shift."""

    @abc.abstractmethod
    def class_table(self) -> Tensor | None:
        """The class embeddings (classes, size) that all layers share; None if there are none."""

    @abc.abstractmethod
    def condition_weights(self, layers: LayerRange) -> tuple[Tensor, Tensor]:
        """The weights of `projections` in two parts of as many rows: those that meet z, and the class embedding."""

    def _finish(self, *state: Tensor) -> Tensor:
        return cast(fast.Network, self.network).finish(*state)


def plus_shift(embedding: Tensor, shift: Tensor) -> Tensor:
    """Class embeddings plus a shift, each (N, size), or (N, num_layers, size) if it differs from layer to layer."""
    deep = max(embedding.ndim, shift.ndim)
    one, other = (each if each.ndim == deep else each[:, None] for each in (embedding, shift))
    return one + other
