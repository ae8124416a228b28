"""The stand-in device refuses what a GPU refuses, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from tests.standin import DEVICE, Standin

HERE = torch.arange(3.0)


def there() -> Tensor:
    return HERE.to(DEVICE)


MIXED: dict[str, Callable[[], object]] = {
    "sum": lambda: there() + HERE,
    "cat": lambda: torch.cat((there(), HERE)),
    "scalars in a list": lambda: torch.stack((there().sum(), HERE.sum())),
    "product": lambda: torch.eye(3).to(DEVICE) @ HERE,
    "a scalar that is written": lambda: HERE.sum().add_(there().sum()),
    "an index from the device": lambda: HERE[torch.tensor([0]).to(DEVICE)],
    "values for an index": lambda: there().index_put_((torch.tensor([0, 1]),), HERE[:2]),
    "a module": lambda: torch.nn.Linear(3, 2)(there()),
    "the gradient of an output": lambda: torch.autograd.grad((x := there().requires_grad_()) * 1, x, HERE),
    "a gradient to go back from": lambda: (there().requires_grad_() * 1).backward(HERE),
    "a mask": lambda: torch.where(HERE > 1, there(), there()),
}
ALLOWED: dict[str, Callable[[], Tensor]] = {
    "a scalar": lambda: there() * HERE.sum() / 3,
    "an index": lambda: there()[torch.tensor([0, 1, 2])],
    "a copy": lambda: torch.zeros(3).copy_(there()),
    "a copy to the device": lambda: torch.zeros(3, device=DEVICE).copy_(HERE),
    "in place": lambda: there().add_(1).sub_(1),
    "out": lambda: torch.add(there(), 0, out=torch.empty(3, device=DEVICE)),
    "factories": lambda: torch.arange(3.0, device=DEVICE) + torch.zeros(3, device=DEVICE),
    "a tensor of numbers": lambda: torch.tensor([0.0, 1.0, 2.0], device=DEVICE),
    "a new tensor": lambda: there().new_tensor([0.0, 1.0, 2.0]),
}


@pytest.mark.parametrize("case", MIXED)
def test_mixed_devices_are_refused(case: str) -> None:
    with pytest.raises(RuntimeError, match="same device"):
        MIXED[case]()


@pytest.mark.parametrize("case", ALLOWED)
def test_what_a_gpu_allows_is_allowed(case: str) -> None:
    assert torch.equal(ALLOWED[case]().cpu(), HERE)


def test_values_leave_the_device_by_a_copy_only() -> None:
    assert there().tolist() == HERE.tolist()
    assert there()[1].item() == 1
    assert type(there().cpu()) is Tensor
    with pytest.raises(RuntimeError, match="numpy"):
        there().numpy()


def test_what_grows_says_so() -> None:
    assert torch.eye(3, device=DEVICE).shape == (3, 3)
    out = torch.empty(0, device=DEVICE)
    torch.add(there(), 1, out=out)
    assert (out.shape, out.tolist()) == (HERE.shape, [1, 2, 3])


def test_random_numbers_are_refused() -> None:
    with pytest.raises(RuntimeError, match="random numbers"):
        torch.randn(3, device=DEVICE)


def test_a_mix_up_in_a_backward_pass_is_refused() -> None:
    class Mixed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, *grads):
            return grads[0] * HERE

    x = there().requires_grad_()
    with pytest.raises(RuntimeError, match="same device"):
        Mixed.apply(x).sum().backward()


def test_derivatives_of_every_kind() -> None:
    x = there().requires_grad_()
    (first,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert isinstance(second, Standin)
    assert torch.equal(second.cpu(), 6 * HERE)
    checkpoint(lambda x: x**3, x, use_reentrant=False).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad.cpu(), 3 * HERE**2)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(forward_ad.make_dual(there(), there()) ** 3).tangent
    assert tangent is not None
    assert torch.equal(tangent.cpu(), 3 * HERE**3)
    rows = torch.func.vmap(lambda v: torch.func.jvp(lambda t: t**3, (there(),), (v,))[1])(torch.eye(3).to(DEVICE))
    assert torch.equal(rows.cpu(), torch.diag(3 * HERE**2))
