"""The number of images computed at once, and out-of-memory errors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from biggan_discovery import FunctionGenerator
from biggan_discovery.generators import batching
from biggan_discovery.generators.batching import Batch, bytes_per_image, forward_batch, gradient_size
from biggan_discovery.memory import is_out_of_memory


@given(st.integers(0, 30), st.integers(1, 12), st.integers(1, 4), st.integers(1, 12))
def test_rows_are_handed_on_in_order_whatever_fits(rows: int, size: int, per_row: int, most: int):
    batch, calls = Batch(size), []

    def work(part: Tensor, twice: Tensor) -> Tensor:
        if len(part) > most:
            raise MemoryError
        calls.append(len(part))
        return torch.stack((part, twice))

    values = torch.arange(rows)
    parts = list(batch.map(work, values, 2 * values, per_row=per_row))
    if rows:
        assert torch.equal(torch.cat(parts, dim=1), torch.stack((values, 2 * values)))
    assert max(calls, default=1) <= max(1, min(most, size // per_row))
    assert 1 <= batch.size <= size


def test_not_even_one_is_an_error():
    def work(_: Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(MemoryError, match="one image"):
        list(Batch(5).map(work, torch.zeros(3)))


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), ValueError("out of memory")])
def test_other_errors_pass(error: Exception):
    def work(_: Tensor) -> None:
        raise error

    assert not is_out_of_memory(error)
    with pytest.raises(type(error)):
        list(Batch(5).map(work, torch.zeros(3)))


def test_a_cpu_that_has_no_memory_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_what_fitted_is_remembered_for_a_generator_and_its_type():
    generator = FunctionGenerator(lambda z: z.view(-1, 3, 2, 2), z_dim=12)
    forward_batch(generator).size = 3
    assert forward_batch(generator).size == 3
    assert forward_batch(generator.double()).size > 3


class _Sine(torch.nn.Module):
    """A layer with 4 MB of weights, of whose 1024 outputs 48 become pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1024, 1024) / 1024)

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.weight).sin()[:, :48].reshape(len(z), 3, 4, 4)


def test_micro_batch_fits_the_budget_without_weights() -> None:
    """The sine saves its 1024 inputs, and the images are views of its 1024 outputs."""
    generator = FunctionGenerator(_Sine(), z_dim=1024)
    kept = bytes_per_image(generator)
    assert kept == 4 * (1024 + 48)
    assert gradient_size(generator, 100 * kept) == 100
    assert gradient_size(generator, 1) == 1


@pytest.mark.parametrize(
    ("size", "kept", "images"),
    [(16, 2**16, 256), (64, 2**23, 16), (128, 2**26, 4), (256, 2**28, 4), (512, 2**30, 2), (512, 2**32, 1)],
)
def test_micro_batch_on_a_cpu(monkeypatch: pytest.MonkeyPatch, size: int, kept: int, images: int) -> None:
    """As many as are efficient, but at least the four images of one sample if they take at most 2 GiB."""
    monkeypatch.setattr(batching, "bytes_per_image", lambda _: kept)
    generator = FunctionGenerator(lambda z: z.new_zeros(len(z), 3, size, size), z_dim=4, resolution=size, channels=3)
    assert gradient_size(generator) == images
