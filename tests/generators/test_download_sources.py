"""Where weights come from besides a host: by hand, the package's cache, Google Drive, a mirror's zip."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from biggan_discovery.cli import cli, run
from biggan_discovery.errors import UserError
from biggan_discovery.generators import download
from biggan_discovery.generators.catalogue import list_generators
from biggan_discovery.generators.download import MIRROR_VARIABLE, OFFLINE_VARIABLE
from biggan_discovery.generators.remote import REMOTE
from tests.hosting import CONFIG, NAME, WEIGHTS, WHOLE, Host, left, load
from tests.tiny import TINY, save_tiny_biggan


def test_files_brought_by_hand_are_taken_as_they_are(root: Path) -> None:
    save_tiny_biggan(root / "biggan-deep-256")
    assert load("biggan-deep-256", offline=True).num_classes == 5


@pytest.mark.parametrize("how", ["argument", "variable", "option"])
def test_offline(
    host: Host, root: Path, monkeypatch: pytest.MonkeyPatch, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if how == "option":
        arguments = ["discover", "--generator", NAME, "--offline", "--out", str(root / "run")]
        monkeypatch.setattr(sys, "argv", ["biggan-discovery", *arguments])
        with pytest.raises(SystemExit) as exited:
            run(cli)
        assert exited.value.code == 2
        message = capsys.readouterr().err.removesuffix("\n")
        assert OFFLINE_VARIABLE not in os.environ
    else:
        if how == "variable":
            monkeypatch.setenv(OFFLINE_VARIABLE, "1")
        with pytest.raises(UserError) as caught:
            load(**({"offline": True} if how == "argument" else {}))
        message = str(caught.value)
    assert "\n" not in message
    assert f"save {host.address}/{CONFIG} as {root / NAME / 'config.json'} and " in message
    assert host.asked == []
    assert not root.exists()


@pytest.mark.parametrize("value", ["0", ""])
def test_offline_variable_that_is_off(host: Host, root: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(OFFLINE_VARIABLE, value)
    load()
    assert left(root) == WHOLE
    assert load(offline=True).name == NAME
    assert len(host.asked) == 2


def _fill_package_cache(payload: dict[str, bytes], folder: Path) -> list[Path]:
    """The two files as the package stores them."""
    from pytorch_pretrained_biggan.file_utils import url_to_filename

    folder.mkdir()
    paths = []
    for file, content in zip(REMOTE[NAME].files, (payload[CONFIG], payload[WEIGHTS]), strict=True):
        path = folder / url_to_filename(file.url, '"etag"')
        path.write_bytes(content)
        Path(f"{path}.json").write_text(json.dumps({"url": file.url, "etag": '"etag"'}))
        paths.append(path)
    return paths


def test_package_cache_is_used_without_a_copy(
    host: Host, root: Path, payload: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    paths = _fill_package_cache(payload, tmp_path / "package")
    assert next(entry for entry in list_generators() if entry.name == NAME).problem == "in the package's cache"
    assert load(offline=True).sha256 == hashlib.sha256(payload[WEIGHTS]).hexdigest()
    assert (root / NAME / "pytorch_model.bin").resolve() == paths[1].resolve()
    assert host.asked == []
    assert f"using {paths[1]}" in caplog.text
    for path in paths:
        path.unlink()
    load()  # The links point nowhere now.
    assert len(host.asked) == 2
    assert not (root / NAME / "pytorch_model.bin").is_symlink()


def test_broken_files_of_the_package_cache_are_left_alone(
    host: Host, root: Path, payload: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    # The package does not write its files atomically; the .json comes when one is whole.
    config, weights = _fill_package_cache(payload, tmp_path / "package")
    Path(f"{config}.json").unlink()
    weights.write_bytes(payload[WEIGHTS][:-1000])
    load()
    assert (root / NAME / "pytorch_model.bin").read_bytes() == payload[WEIGHTS]
    assert len(host.asked) == 2
    assert f"{weights} is not used" in caplog.text
    assert weights.read_bytes() == payload[WEIGHTS][:-1000]


def test_full_disk_is_told_before_it_is_full(host: Host, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"needs .* more, but only 1000 bytes are free"):
        load()
    assert host.asked_for(WEIGHTS) == [None]
    assert not (root / NAME / "pytorch_model.bin").exists()


@pytest.mark.usefixtures("host")
def test_folder_that_cannot_be_written(root: Path) -> None:
    root.write_text("a file")
    with pytest.raises(UserError, match=r"cannot write to .*BIGGAN_DISCOVERY_CHECKPOINTS"):
        load()


def test_two_at_once_download_once(host: Host, root: Path) -> None:
    code = f"from biggan_discovery.generators import download; from pathlib import Path; download.fetch({NAME!r}, Path("
    command = [sys.executable, "-c", f"{code}{str(root / NAME)!r}))"]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(host.asked) == 2
    assert left(root) == WHOLE


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.safetensors"])
def test_safetensors_instead(host: Host, root: Path, payload: dict[str, bytes], name: str) -> None:
    (root / NAME).mkdir(parents=True)
    state = torch.load(io.BytesIO(payload[WEIGHTS]), weights_only=True)
    save_file(state, root / NAME / name)
    generator = load()
    assert host.asked_for(WEIGHTS) == []
    assert generator.sha256 == hashlib.sha256((root / NAME / name).read_bytes()).hexdigest()
    z, y = torch.randn(2, TINY["z_dim"]), torch.tensor([3, 700])
    images = generator(z, y)
    (root / NAME / name).rename(root / "away")
    assert torch.equal(load()(z, y), images)
    (root / NAME / "pytorch_model.bin").unlink()
    (root / NAME / name).write_bytes(b"no safetensors")
    with pytest.raises(UserError, match=f"{name} is not a file of weights, or is damaged: it is text"):
        load()


def _zip_of(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("weights/G_ema.pth", content)
    return buffer.getvalue()


def test_google_drive_needs_gdown(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gdown", None)
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    with pytest.raises(UserError, match=r"pip install gdown; to download .*brock-128\.zip"):
        load("brock-128")
    assert left(root, "brock-128") == set()


@pytest.mark.parametrize("outcome", ["right", "page", "nothing", "error"])
def test_google_drive(root: Path, monkeypatch: pytest.MonkeyPatch, outcome: str) -> None:
    content = _zip_of(b"weights") if outcome == "right" else b"<html>quota exceeded</html>"

    def fake(*, id: str, output: str, resume: bool, quiet: bool) -> None:  # noqa: A002
        assert (id, resume, quiet) == ("1nAle7FCVFZdix2--ks0r5JBkFnKw8ctW", True, False)
        if outcome == "error":
            raise RuntimeError("too many\nusers")
        if outcome != "nothing":
            Path(output).write_bytes(content)

    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=fake))
    folder = root / "brock-128"
    if outcome == "right":
        download.fetch("brock-128", folder, mirror="")
        assert left(root, "brock-128") == {"brock-128.zip", "SHA256SUMS"}
    else:
        with pytest.raises(UserError, match=r"not a zip|could not fetch") as caught:
            download.fetch("brock-128", folder, mirror="")
        assert "\n" not in str(caught.value)
        assert left(root, "brock-128") == set()


def test_brock_from_a_mirror_is_loaded_from_its_zip(host: Host, root: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"x": torch.zeros(1)}, buffer)
    host.files["brock-128.zip"] = _zip_of(buffer.getvalue())
    # The archive is found and read; what it holds is no BigGAN.
    with pytest.raises(UserError, match=r"brock-128\.zip.*G_ema\.pth"):
        load("brock-128")
    assert left(root, "brock-128") == {"brock-128.zip", "SHA256SUMS"}
