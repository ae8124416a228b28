"""A small network that predicts from a pair of images which direction was moved, and by how much."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from biggan_discovery.evaluation.metrics.shift_pairs import ShiftPairs
from biggan_discovery.progress import Progress

_WIDTHS = (24, 48, 64)
_BATCH = 32
_LR = 2e-3


class ShiftNetwork(nn.Module):
    """From images before and after (N, C, S, S) to direction logits (N, ndirs) and amounts (N,)."""

    def __init__(self, channels: int, ndirs: int, change_scale: float):
        super().__init__()
        self._scale = change_scale
        layers: list[nn.Module] = []
        for wide, wider in zip((2 * channels, *_WIDTHS), _WIDTHS, strict=False):
            layers += [nn.Conv2d(wide, wider, 3, stride=2, padding=1), nn.GroupNorm(8, wider), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.head = nn.Linear(16 * _WIDTHS[-1], ndirs + 1)

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, ndirs) and amounts (N,)."""
        output = self.head(self.features(torch.cat((before, (after - before) / self._scale), dim=1)))
        return output[:, :-1], output[:, -1]


def train(
    pairs: ShiftPairs,
    train_on: Tensor,
    select_on: Tensor,
    *,
    epochs: int,
    shift_weight: float,
    seed: int,
    progress: Progress | None = None,
) -> ShiftNetwork:
    """A network trained on some pairs, as it was after the epoch that was best on others.

    The loss is the cross-entropy of the direction and `shift_weight` times the absolute error of the amount, as in
    Voynov and Babenko 2020, equation 1. Adam; the learning rate falls along a cosine.

    Args:
        pairs: all pairs.
        train_on: indices of the pairs to learn from.
        select_on: indices of the pairs to choose the epoch by.
        epochs: passes over the pairs to learn from.
        shift_weight: weight of the amount's error.
        seed: of weights and order; the global random state is left as it was.
        progress: advanced by one for each epoch.
    """
    scale = (pairs.after[train_on].float() - pairs.before[train_on].float()).square().mean().sqrt().item() or 1.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ShiftNetwork(pairs.before.shape[1], pairs.ndirs, scale)
    random = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=_LR)
    best, best_loss = network.state_dict(), math.inf
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = _LR * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        for batch in train_on[torch.randperm(len(train_on), generator=random)].split(_BATCH):
            optimizer.zero_grad()
            _loss(network, pairs, batch, shift_weight).backward()
            optimizer.step()
        with torch.no_grad():
            loss = sum(_loss(network, pairs, part, shift_weight).item() * len(part) for part in select_on.split(256))
        if loss < best_loss:
            best, best_loss = copy.deepcopy(network.state_dict()), loss
        if progress is not None:
            progress.advance()
    network.load_state_dict(best)
    return network


@torch.no_grad()
def test(network: ShiftNetwork, pairs: ShiftPairs, test_on: Tensor) -> tuple[Tensor, Tensor]:
    """For each of some pairs, whether the direction is guessed right, and the absolute error of the amount; float64."""
    right, error = [], []
    for part in test_on.split(256):
        logits, amounts = network(pairs.before[part].float(), pairs.after[part].float())
        right.append(logits.argmax(dim=1) == pairs.direction[part])
        error.append((amounts - pairs.amount[part]).abs())
    return torch.cat(right).double(), torch.cat(error).double()


def shares(pairs: ShiftPairs, *sizes: float, seed: int) -> list[Tensor]:
    """The indices of all pairs, shuffled and cut into shares of these sizes, which add up to 1."""
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))
    ends = [round(len(pairs) * sum(sizes[: index + 1])) for index in range(len(sizes))]
    return [order[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _loss(network: ShiftNetwork, pairs: ShiftPairs, batch: Tensor, shift_weight: float) -> Tensor:
    logits, amounts = network(pairs.before[batch].float(), pairs.after[batch].float())
    loss = functional.cross_entropy(logits, pairs.direction[batch])
    return loss + shift_weight * (amounts - pairs.amount[batch]).abs().mean()
