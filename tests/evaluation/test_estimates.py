"""Ratios of means over the same samples."""

from __future__ import annotations

import pytest
import torch

from biggan_discovery.evaluation.estimates import paired_ratio


def test_what_makes_a_sample_hard_for_both_cancels():
    hard = torch.rand(9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ratio, error = paired_ratio(0.8 * hard, hard)
    assert ratio == pytest.approx(0.8)
    assert error < 1e-12


def test_the_error_is_the_spread_of_the_ratio_over_draws():
    random = torch.Generator().manual_seed(0)

    def drawn() -> tuple[float, float]:
        hard = torch.randn(64, generator=random).exp()
        return paired_ratio(0.8 * hard * (1 + 0.3 * torch.randn(64, generator=random)), hard)

    ratios, errors = torch.tensor([drawn() for _ in range(2000)]).T
    assert ratios.mean().item() == pytest.approx(0.8, abs=0.01)
    assert errors.square().mean().sqrt().item() == pytest.approx(ratios.std().item(), rel=0.1)
