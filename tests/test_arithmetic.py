"""The arithmetic of a GPU inside each job, and of devices without float64."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from biggan_discovery import Directions, FunctionGenerator, compare, discover, draw, evaluate, jacobian
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation import held_out_values
from biggan_discovery.evaluation.table import metric_names
from biggan_discovery.generators.catalogue import find_device
from biggan_discovery.numerics.arithmetic import in_float64, widest
from biggan_discovery.search import judging
from tests import standin
from tests.evaluation.small import small_sizes

BACKENDS: tuple[Any, ...] = (
    torch.backends.cuda.matmul,
    torch.backends.cudnn.conv,  # pyright: ignore[reportAttributeAccessIssue]
)
SEARCHES: dict[str, dict[str, Any]] = {
    "joint diagonalization": {"samples": 2},
    "sketches": {"samples": 2, "sketches": 2},
    "orojar": {"method": "orojar", "samples": 2},
    "adam": {"steps": 2, "batch": 2},
    "warm start": {"init": "joint-diagonalization", "steps": 1, "batch": 2},
    "jacobian": {"method": "jacobian", "samples": 2},
}


def flags() -> tuple[str, ...]:
    return tuple(each.fp32_precision for each in BACKENDS)


@pytest.fixture
def in_tf32(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, ...]]:
    """A user who has asked for TF32, and gets it back."""
    small_sizes(monkeypatch)
    monkeypatch.setattr(judging, "held_out_values", functools.partial(held_out_values, samples=2, probes=2))
    before = flags()
    for backend in BACKENDS:
        backend.fp32_precision = "tf32"
    yield flags()
    after = flags()
    for backend, value in zip(BACKENDS, before, strict=True):
        backend.fp32_precision = value
    assert after == ("tf32", "tf32")


def recording() -> tuple[FunctionGenerator, set[tuple[str, ...]]]:
    """A generator that keeps the flags under which it is called."""
    seen = set[tuple[str, ...]]()
    mixing = torch.randn(4, 48, generator=torch.Generator().manual_seed(0))

    def images(z: Tensor, y: Tensor) -> Tensor:
        seen.add(flags())
        return torch.tanh(z @ mixing + y[:, None]).view(-1, 3, 4, 4)

    generator = FunctionGenerator(images, z_dim=4, num_classes=2, resolution=4, channels=3)
    return generator, seen


def found(seed: int = 0) -> Directions:
    return Directions(torch.randn(3, 4, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.usefixtures("in_tf32")
@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_computes_in_float32(search: str) -> None:
    generator, seen = recording()
    discover(generator, quiet=True, **SEARCHES[search])
    assert seen == {("ieee", "ieee")}


@pytest.mark.usefixtures("in_tf32")
def test_directions_are_judged_in_float32() -> None:
    generator, seen = recording()
    evaluate(generator, found(), metrics=metric_names(), quiet=True)
    compare(generator, found(), found(1), quiet=True)
    assert seen == {("ieee", "ieee")}


@pytest.mark.parametrize("options", [{"curved": True, "path_size": 0.5}, {"path_size": "auto"}], ids=["curved", "auto"])
def test_pictures_measure_in_float32_and_draw_in_any(
    options: dict[str, Any], in_tf32: tuple[str, ...], tmp_path: Path
) -> None:
    generator, seen = recording()
    draw(generator, found(), tmp_path / "strip.png", samples=1, frames=3, quiet=True, **options)
    assert seen == {("ieee", "ieee"), in_tf32}


@pytest.mark.usefixtures("in_tf32")
def test_the_jacobian_of_a_function_is_measured_in_float32() -> None:
    generator, seen = recording()
    jacobian(lambda z: generator(z, torch.zeros(len(z), dtype=torch.int64)), torch.zeros(2, 4), 2)
    assert seen == {("ieee", "ieee")}


def test_float64_is_computed_on_the_cpu_if_the_device_has_none() -> None:
    x = torch.ones(3).to(standin.DEVICE)
    assert widest(x.device) == x.device
    assert in_float64(x).device == x.device
    with standin.without_float64():
        assert widest(x.device) == torch.device("cpu")
        assert (in_float64(x).device.type, in_float64(x).dtype) == ("cpu", torch.float64)
        with pytest.raises(TypeError, match="float64"):
            x.double()


@pytest.mark.parametrize(("device", "missing"), [("mps", "MPS"), ("xpu", "XPU"), ("xpu:1", "XPU"), ("cuda", "CUDA")])
def test_a_device_that_is_not_there_is_refused_with_what_is_missing(device: str, missing: str) -> None:
    there = {"MPS": torch.backends.mps, "XPU": torch.xpu, "CUDA": torch.cuda}[missing].is_available()
    if there:
        assert find_device(device).type == device.partition(":")[0]
        return
    with pytest.raises(UserError, match=rf"no device '{device}' here, as torch .*{missing}.*; there are: auto, cpu"):
        find_device(device)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(UserError, match="no device 'gpu' here; there are: auto, cpu"):
        find_device("gpu")
