"""Adam's step against torch's own."""

from __future__ import annotations

import torch

from biggan_discovery.search.adam import adam_step


def test_steps_equal_torchs_bit_for_bit() -> None:
    random = torch.Generator().manual_seed(0)
    start = torch.randn(3, 5, generator=random)
    expected = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([expected], betas=(0.9, 0.99))
    A, first_moment, second_moment = start.clone(), torch.zeros(3, 5), torch.zeros(3, 5)
    for step in range(1, 8):
        gradient = torch.randn(3, 5, generator=random)
        rate = 0.1 / step
        optimizer.param_groups[0]["lr"] = rate
        expected.grad = gradient.clone()
        optimizer.step()
        adam_step(A, gradient, first_moment, second_moment, step=step, lr=rate)
        assert torch.equal(A, expected.detach())
    state = optimizer.state[expected]
    assert torch.equal(first_moment, state["exp_avg"])
    assert torch.equal(second_moment, state["exp_avg_sq"])
