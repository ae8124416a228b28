from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import biggan_discovery
from biggan_discovery.errors import UserError
from biggan_discovery.generators import catalogue, load_generator
from biggan_discovery.generators.catalogue import (
    BUNDLED,
    CHECKPOINTS_VARIABLE,
    checkpoints_folder,
    find_device,
    find_folder,
    list_generators,
)


@pytest.fixture
def checkpoints(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoints folder with a generator named mine and without scenes-64."""
    shutil.copytree(tiny_folder, tmp_path / "mine")
    monkeypatch.setenv(CHECKPOINTS_VARIABLE, str(tmp_path))
    monkeypatch.setattr(catalogue, "_CLONE", tmp_path / "clone")
    return tmp_path


def test_public_name_is_this_function() -> None:
    assert biggan_discovery.load_generator is load_generator


def test_checkpoints_lie_in_the_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CHECKPOINTS_VARIABLE, raising=False)
    assert checkpoints_folder() == Path(biggan_discovery.__file__).parents[1] / "checkpoints"


def test_by_name(checkpoints: Path) -> None:
    assert load_generator("mine", device="cpu").name == "mine"
    assert find_folder("mine") == ("mine", checkpoints / "mine")


def test_default_is_the_bundled_generator(checkpoints: Path) -> None:
    shutil.copytree(checkpoints / "mine", checkpoints / "scenes-64")
    assert load_generator(device="cpu").name == "scenes-64"


def test_bundled_generator_is_found_wherever_downloads_go(checkpoints: Path) -> None:
    bundled = checkpoints / "clone" / "checkpoints" / "scenes-64"
    shutil.copytree(checkpoints / "mine", bundled)
    assert find_folder("scenes-64") == ("scenes-64", bundled)
    shutil.copytree(bundled, checkpoints / "scenes-64")
    assert find_folder("scenes-64") == ("scenes-64", checkpoints / "scenes-64")


def test_by_path(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_generator(tiny_folder, device="cpu").name == str(tiny_folder)
    assert load_generator(str(tiny_folder), device="cpu").name == str(tiny_folder)
    shutil.copytree(tiny_folder, tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    # The absolute path, so that a directions file finds its generator from any working directory.
    assert find_folder("./here")[0] == find_folder("here")[0] == str(tmp_path / "here")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("scenes-64", ["'scenes-64' is not in", "install the package again", CHECKPOINTS_VARIABLE]),
        ("scene64", ["no generator 'scene64'", "did you mean 'scenes-64'", "config.json"]),
        (
            "zzz",
            ["no generator 'zzz'", "known: scenes-64, ", "cifar-32, biggan-deep-128, ", "brock-128, mine", "a folder"],
        ),
        ("", ["no generator given"]),
        ("folder", ["folder is not a generator", "config.json", "G_ema.pth", "my_gan.py:G"]),
        ("file", ["file is not a generator", "a folder with config.json"]),
        ("/no/such/folder", ["no generator '/no/such/folder'"]),
    ],
)
def test_unknown_generator(checkpoints: Path, monkeypatch: pytest.MonkeyPatch, name: str, parts: list[str]) -> None:
    (checkpoints / "folder").mkdir()
    (checkpoints / "file").touch()
    monkeypatch.chdir(checkpoints)
    with pytest.raises(UserError) as caught:
        load_generator(name, device="cpu")
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("truncation", [0, -1, 1.01, float("nan"), float("inf"), "0.5", True])
def test_bad_truncation(tiny_folder: Path, truncation: Any) -> None:
    with pytest.raises(UserError, match=r"truncation is .*\(0, 1\]"):
        load_generator(tiny_folder, truncation=truncation, device="cpu")


@pytest.mark.parametrize(
    "device", ["gpu", "cuda:99", "cpu:x", "", "meta", "mps" if sys.platform != "darwin" else "xpu"]
)
def test_bad_device(tiny_folder: Path, device: str) -> None:
    with pytest.raises(UserError, match=r"device .*auto") as caught:
        load_generator(tiny_folder, device=device)
    assert "\n" not in str(caught.value)


def test_devices() -> None:
    assert find_device("cpu") == find_device(torch.device("cpu")) == torch.device("cpu")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_list(checkpoints: Path) -> None:
    (checkpoints / "broken").mkdir()
    (checkpoints / "broken" / "config.json").write_text("{}")
    shutil.copytree(checkpoints / "mine", checkpoints / "no-weights")
    (checkpoints / "no-weights" / "pytorch_model.bin").unlink()
    (checkpoints / "not-a-generator").mkdir()
    *named, broken, mine, without = list_generators()
    (scenes, *_), remote = named[: len(BUNDLED)], named[len(BUNDLED) :]
    assert [entry.name for entry in remote] == ["biggan-deep-128", "biggan-deep-256", "biggan-deep-512", "brock-128"]
    assert (scenes.name, scenes.figures, scenes.problem) == ("scenes-64", None, "missing")
    assert (broken.name, broken.figures) == ("broken", None)
    assert "'z_dim' is missing" in broken.problem
    assert (mine.name, mine.figures, mine.problem) == ("mine", (32, 16, 5), "")
    assert without.problem == "weights missing"


def test_checkpoints_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHECKPOINTS_VARIABLE, str(tmp_path / "nowhere"))
    monkeypatch.setattr(catalogue, "_CLONE", tmp_path / "clone")
    bundled, remote = list_generators()[: len(BUNDLED)], list_generators()[len(BUNDLED) :]
    assert [(entry.name, entry.problem) for entry in bundled] == [(name, "missing") for name in BUNDLED]
    assert {entry.problem for entry in remote} <= {"not downloaded", "in the package's cache"}


def test_installed_without_its_clone_generators_lie_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CHECKPOINTS_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(catalogue, "_CLONE", tmp_path / "site-packages")
    assert checkpoints_folder().name == "checkpoints"
    if sys.platform.startswith("linux"):
        assert checkpoints_folder() == tmp_path / "cache" / "biggan-discovery" / "checkpoints"


@pytest.mark.skipif(sys.platform == "win32", reason="the home folder is looked up in another way")
def test_without_a_home_folder(tmp_path: Path) -> None:
    code = (
        "import pwd, sys; from pathlib import Path; from biggan_discovery.generators import catalogue;"
        "pwd.getpwuid = lambda _: (_ for _ in ()).throw(KeyError());"
        "catalogue._CLONE = Path('nowhere'); print(catalogue.checkpoints_folder());"
        "print([entry.problem for entry in catalogue.list_generators()])"
    )
    environment = {
        name: value for name, value in os.environ.items() if name != "HOME" and not name.startswith(("XDG", "BIGGAN"))
    }
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(tmp_path / "checkpoints")


def test_listing_and_classes_do_not_load_torch(checkpoints: Path) -> None:
    code = (
        "import sys; from biggan_discovery.generators.catalogue import list_generators; list_generators();"
        "from biggan_discovery.generators import parse_classes; parse_classes(['a'], 'a');"
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, CHECKPOINTS_VARIABLE: str(checkpoints)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu(tiny_folder: Path) -> None:
    generator = load_generator(tiny_folder)
    assert generator.device.type == "cuda"
    z = generator.latents(torch.rand(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    y = torch.arange(16, device="cuda") % 5
    images = generator(z, y)
    assert torch.equal(images.flip(0), generator(z.flip(0), y.flip(0)))
    with pytest.raises(UserError, match="generator is on cuda"):
        generator(z.cpu(), y)
    expected = load_generator(tiny_folder, device="cpu").double()(z.double().cpu(), y.cpu())
    torch.testing.assert_close(images.double().cpu(), expected, atol=2e-2, rtol=0)
