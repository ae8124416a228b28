"""What a run trains: generator, discriminator, averaged weights and Adam's moments, as tensors by name."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from biggan_discovery.errors import UserError
from biggan_discovery.numerics.streams import Stream, random_numbers
from biggan_discovery.training.architecture import Architecture
from biggan_discovery.training.deep_architecture import DeepArchitecture
from biggan_discovery.training.deep_discriminator import DeepDiscriminator
from biggan_discovery.training.deep_generator import DeepGenerator
from biggan_discovery.training.discriminator import Discriminator
from biggan_discovery.training.generator import BaseGenerator, Generator
from biggan_discovery.training.settings import TrainingSettings

_MOMENTS = ("exp_avg", "exp_avg_sq")
_log = logging.getLogger(__name__)


class Networks:
    """Generator and discriminator with their optimizers, and the generator with averaged weights.

    Args:
        architecture: of both.
        settings: of the run; initial weights depend on its seed alone.
        device: where they are.

    Attributes:
        G: the generator.
        D: the discriminator.
        averaged: the generator with averaged weights, in eval mode.
        opt_g: Adam of the generator. Its learning rate is a tensor, as a CUDA graph reads no Python numbers.
        opt_d: Adam of the discriminator.
    """

    def __init__(self, architecture: Architecture, settings: TrainingSettings, device: torch.device):
        architecture.check()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(settings.seed, Stream.TRAINING_WEIGHTS))
            self.G, self.D = _made(architecture)
        for network in (self.G, self.D):
            network.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.averaged = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.opt_g, self.opt_d = (
            torch.optim.Adam(
                network.parameters(),
                lr=torch.zeros((), device=device),
                betas=(settings.beta1, settings.beta2),
                fused=True,
                capturable=device.type == "cuda",
            )
            for network in (self.G, self.D)
        )
        self._set_moments(0, settings.d_steps)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return next(self.G.parameters()).device

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that steps change, by name; they share memory with the networks."""
        found = self.weights()
        for name, network, optimizer in (("G", self.G, self.opt_g), ("D", self.D, self.opt_d)):
            for key, parameter in network.named_parameters():
                for moment in _MOMENTS:
                    found[f"{name}.{moment}.{key}"] = optimizer.state[parameter][moment]
        return found

    def weights(self) -> dict[str, Tensor]:
        """Weights and buffers of the networks, by name."""
        averaged = dict(self.averaged.named_parameters())
        return {
            **{f"G.{key}": tensor for key, tensor in self.G.state_dict().items()},
            **{f"D.{key}": tensor for key, tensor in self.D.state_dict().items()},
            **{f"G_ema.{key}": tensor.detach() for key, tensor in averaged.items()},
        }

    @torch.no_grad()
    def restore(self, saved: Mapping[str, Tensor], step: int, d_steps: int) -> None:
        """Take over the tensors of a checkpoint after `step` steps."""
        for name, tensor in self.tensors().items():
            tensor.copy_(saved[name])
        self._set_counts(step, d_steps)

    @torch.no_grad()
    def start_from(self, weights: Mapping[str, Tensor], origin: str) -> None:
        """Take over the weights of other networks of the same shapes.

        Raises:
            UserError: weights are missing or have another shape.
        """
        for name, tensor in self.weights().items():
            found = weights.get(name)
            if found is None or found.shape != tensor.shape:
                shape = "is missing" if found is None else f"has shape {tuple(found.shape)}"
                raise UserError(f"{origin}: {name} {shape}; it should be {tuple(tensor.shape)} with these settings")
            tensor.copy_(found)

    def _set_moments(self, step: int, d_steps: int) -> None:
        for optimizer in (self.opt_g, self.opt_d):
            for parameter in _parameters(optimizer):
                moments = {name: torch.zeros_like(parameter) for name in _MOMENTS}
                optimizer.state[parameter] = {"step": torch.zeros((), device=parameter.device), **moments}
        self._set_counts(step, d_steps)

    def _set_counts(self, step: int, d_steps: int) -> None:
        for optimizer, count in ((self.opt_g, step), (self.opt_d, step * d_steps)):
            for parameter in _parameters(optimizer):
                optimizer.state[parameter]["step"].fill_(count)


def _made(architecture: Architecture) -> tuple[BaseGenerator, nn.Module]:
    if isinstance(architecture, DeepArchitecture):
        return DeepGenerator(architecture), DeepDiscriminator(architecture)
    return Generator(architecture), Discriminator(architecture)


def seed_of(seed: int, stream: int, *, step: int = 0, sample: int = 0) -> int:
    """The seed of a torch generator for a named stream."""
    return int(random_numbers(seed, stream, step=step, sample=sample).integers(2**63))


def count_of(network: nn.Module) -> int:
    """The number of weights."""
    return sum(parameter.numel() for parameter in network.parameters())


def _parameters(optimizer: torch.optim.Optimizer) -> Iterable[nn.Parameter]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])
