"""Every command and every public function on every device there is, against the CPU.

One device is always there: the stand-in, which refuses to mix devices as a GPU does, and which computes as the CPU, so
that its results are those of the CPU bit for bit.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import biggan_discovery as bd
from benchmarks.faults.devices import mix_ups
from biggan_discovery.cli.group import _COMMANDS, cli
from tests import device_jobs, standin
from tests.device_jobs import JOBS, Bench, make_shared

DEVICES = [standin.NAME, *["cuda"] * torch.cuda.is_available()]
BOUND = 2e-2
"""On other devices, of the largest entry: rounding, which second differences and kinks of networks enlarge."""


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Bench]]:
    root = tmp_path_factory.mktemp("devices")
    shared = make_shared(root / "shared")
    with pytest.MonkeyPatch.context() as patch:
        device_jobs.small(patch)
        yield functools.cache(lambda device, title="": Bench(device, root / (title or device), shared))


@pytest.fixture(scope="module")
def on_cpu(benches: Callable[..., Bench]) -> Callable[[str], Any]:
    """The CPU's result of each job, computed once."""
    return functools.cache(lambda job: plain(JOBS[job](benches("cpu"))))


def plain(result: Any) -> Any:
    """Numbers and texts instead of tensors, with the dtypes; whatever device they were on."""
    match result:
        case Tensor():
            return result.detach().cpu().numpy()
        case dict():
            return {key: plain(value) for key, value in result.items()}
        case list() | tuple():
            return [plain(value) for value in result]
    return result


def check(found: Any, expected: Any, device: str, where: str = "") -> None:
    """That two results are the same, within the bounds of the device."""
    assert type(found) is type(expected), where
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            check(found[key], expected[key], device, f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            check(one, other, device, f"{where}/{index}")
    elif isinstance(expected, np.ndarray):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype), where
        one, other = found.astype(np.float64), expected.astype(np.float64)
        bound = 0.0 if device == standin.NAME else BOUND * np.abs(other).max(initial=0)
        np.testing.assert_allclose(one, other, rtol=0, atol=bound, err_msg=where)
    elif isinstance(expected, float) and device != standin.NAME:
        assert found == pytest.approx(expected, rel=BOUND, abs=1e-6), where
    else:
        assert found == expected, where


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("job", JOBS)
def test_a_job_gives_the_result_of_the_cpu(
    job: str, device: str, benches: Callable[..., Bench], on_cpu: Callable[[str], Any]
) -> None:
    check(plain(JOBS[job](benches(device))), on_cpu(job), device)


def test_a_mix_up_is_noticed(benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    planted = next(each for each in mix_ups() if each.source == "A.detach().to('cpu', torch.float32, copy=True)")
    assert planted.code is not None
    monkeypatch.setattr(inspect.unwrap(bd.Directions.__init__), "__code__", planted.code)
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        JOBS["directions"](benches(standin.NAME, "mixed up"))


COMPUTING = {
    *(job for job in JOBS if job.startswith(("function: ", "precision auto"))),
    *(
        "draw curved",
        "draw path size auto",
        "draw soft classes",
        "edit",
        "edit by degrees",
        "samples",
        "parts of drawing",
    ),
    *("walk", "walk around", "walk on a small circle", "class space, deep", "invert"),
    *("evaluate", "compare", "penalties", "directions", "orthonormalize", "generators"),
}
"""Jobs with arithmetic of their own: each method, metric and public function. Known factors are computed on the CPU."""


@pytest.mark.parametrize("job", [job for job in JOBS if job in COMPUTING])
def test_a_job_needs_no_float64_on_the_device(
    job: str, benches: Callable[..., Bench], on_cpu: Callable[[str], Any]
) -> None:
    with standin.without_float64():
        found = plain(JOBS[job](benches(standin.NAME, "float32")))
    check(found, on_cpu(job), standin.NAME)


COMMANDS = {
    "discover": "discover --generator {deep} --samples 2 --out {out}/run --quiet",
    "visualize": "visualize {found} --samples 1 --frames 3 --path-size 1 --out {out}/film.png --quiet",
    "edit": "edit {found} --set 1=2 --set hue=1 --out {out}/edit.png --quiet",
    "walk": "walk {found} --seeds 0,1 --move hue=0:1 --steps 2 --out {out}/walk.webp --quiet",
    "invert": "invert {photo} --generator {deep} --steps 1 --starts 1 --out {out}/inverted.png --quiet",
    "samples": "samples {found} --samples 2 --out {out}/samples.png --quiet",
    "evaluate": "evaluate {found} --metrics hessian --out {out}/report --quiet",
    "compare": "compare {found} {other} --out {out}/comparison --quiet",
}
ELSEWHERE = {"explore", "train"}
"""Tried in `tests/explorer`, as it ends with a signal only, and in `tests/training`, as it makes its own network."""
WITHOUT_DEVICE = {"card", "classes", "export", "export-onnx", "generators", "import", "list", "name", "push"}
"""They compute few images or none, or on the CPU only, and have no `--device`."""


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_on_the_device(
    command: str, device: str, benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, used = benches(device), set[torch.device]()
    forward = bd.FrozenGenerator.forward

    def watched(self: bd.FrozenGenerator, z: Tensor, y: Tensor) -> Tensor:
        images = forward(self, z, y)
        used.add(images.device)
        return images

    monkeypatch.setattr(bd.FrozenGenerator, "forward", watched)
    photo = Path(__file__).parents[1] / "docs" / "recipes" / "region.png"
    files = {"photo": photo, "found": bench.shared / "deep-0.safetensors", "other": bench.shared / "deep-1.safetensors"}
    words = [
        word.format(out=bench.folder / "commands", deep=bench.shared / "deep", **files)
        for word in COMMANDS[command].split()
    ]
    cli.main([*words, "--device", device], standalone_mode=False)
    assert {each.type for each in used} == {torch.device(device).type}


def test_every_command_with_a_device_is_tried() -> None:
    def has_device(name: str) -> bool:
        command = cli.get_command(None, name)  # pyright: ignore[reportArgumentType]
        assert command is not None
        return any(parameter.name == "device" for parameter in command.params)

    assert {name for name in _COMMANDS if has_device(name)} == COMMANDS.keys() | ELSEWHERE
    assert _COMMANDS.keys() - COMMANDS.keys() == WITHOUT_DEVICE | ELSEWHERE


def test_every_public_name_is_used() -> None:
    source = Path(device_jobs.__file__).read_text()
    used = set(re.findall(r"\bbd\.(\w+)\b(?=[.(,)])", source))
    abstract = {"FrozenGenerator"}  # of which all generators are
    in_notebooks = {"Sliders"}  # which draw as the explorer does
    assert set(bd.__all__) - used <= abstract | in_notebooks | ELSEWHERE
