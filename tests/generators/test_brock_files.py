"""Files of Brock's BigGAN: the forms that are read, and what is damaged or hostile."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from biggan_discovery import load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.generators.brock import BrockBigGAN
from biggan_discovery.generators.catalogue import CHECKPOINTS_VARIABLE, list_generators
from tests.brock_tiny import TINY, inputs, restated, tiny_state
from tests.pickled import Call

CONV = "blocks.1.0.conv1.weight"
GAIN = "blocks.0.0.bn1.gain.weight"


@pytest.fixture(scope="session")
def generator(brock_folder: Path) -> BrockBigGAN:
    return BrockBigGAN(brock_folder, name="tiny")


@pytest.fixture
def copied(brock_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny generator's folder, to be damaged by a test."""
    return Path(shutil.copytree(brock_folder, tmp_path / "copied"))


def _zip(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("138k/", b"")
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return path


def _saved(state: object, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, **options)
    return file.getvalue()


@pytest.mark.parametrize("new_format", [True, False])
def test_file_folder_and_zip_are_the_same(copied: Path, generator: BrockBigGAN, new_format: bool) -> None:
    content = _saved(tiny_state(), _use_new_zipfile_serialization=new_format)
    file = copied / "G_ema.pth"
    file.write_bytes(content)
    (copied / "G.pth").write_bytes(b"not read")
    other = _saved(tiny_state(9))
    archive = _zip(
        copied / "download.zip", **{"138k__G_ema.pth": content, "138k__G.pth": other, "__MACOSX/138k/._G_ema.pth": b"x"}
    )
    z, y = inputs(2)
    for path in (file, copied, archive):
        loaded = load_generator(path, device="cpu")
        assert loaded.name == str(path)
        assert loaded.sha256 == hashlib.sha256(content).hexdigest()
        assert torch.equal(loaded(z.float(), y), generator(z.float(), y))
    assert sorted(path.name for path in copied.iterdir()) == ["G.pth", "G_ema.pth", "download.zip"]


def test_weights_without_averaging(copied: Path, generator: BrockBigGAN) -> None:
    content = (copied / "G_ema.pth").read_bytes()
    (copied / "G_ema.pth").rename(copied / "G.pth")
    archive = _zip(copied / "download.zip", **{"G.pth": content, "D.pth": b"x"})
    for path in (copied, copied / "G.pth", archive):
        assert load_generator(path, device="cpu").sha256 == generator.sha256


def test_config_inside_a_zip(tmp_path: Path) -> None:
    content = _saved(tiny_state())
    archive = _zip(tmp_path / "a.zip", **{"138k__G.pth": content, "138k__config.json": b'{"BN_eps": 0.5}'})
    (tmp_path / "config.json").write_text("not of the zip")
    z, y = inputs(2)
    expected = restated(tiny_state(), z, y, {**TINY, "BN_eps": 0.5})
    torch.testing.assert_close(load_generator(archive, device="cpu").double()(z, y), expected, atol=1e-5, rtol=0)


def test_half_precision_weights(copied: Path) -> None:
    state = {key: value.half() for key, value in tiny_state().items()}
    torch.save(state, copied / "G_ema.pth")
    z, y = inputs(2)
    images = BrockBigGAN(copied, name="tiny", dtype=torch.float64)(z, y)
    torch.testing.assert_close(images, restated(state, z, y, TINY), atol=1e-10, rtol=0)


def test_catalogue_lists_folders(brock_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(brock_folder, tmp_path / "mine")
    monkeypatch.setenv(CHECKPOINTS_VARIABLE, str(tmp_path))
    assert [(entry.name, entry.problem) for entry in list_generators()][-1:] == [("mine", "")]
    assert load_generator("mine", device="cpu").name == "mine"


def _refused(path: Path, *parts: str) -> None:
    """Check that loading fails with one line that contains all the parts."""
    with pytest.raises(UserError) as caught:
        load_generator(path, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def _set(key: str, *shape: int) -> Callable[[dict[str, Any]], object]:
    return lambda state: state.update({key: torch.ones(shape)})


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda state: state.clear(), ["linear.weight is missing"]),
        (lambda state: state.update({CONV: 3}), [CONV + " is missing"]),
        (lambda state: state.update({7: torch.zeros(1)}), ["7", "do not belong"]),
        (_set("extra", 1), ["extra", "do not belong"]),
        (_set(CONV, 16), [CONV, "(16,)", "4 dimensions"]),
        (_set(CONV, 0, 16, 3, 3), [CONV, "above 0"]),
        (_set(CONV, 16, 16, 5, 5), [CONV, "(16, 16, 5, 5) instead of (16, 16, 3, 3)"]),
        (_set(CONV, 16, 15, 3, 3), ["blocks.0.0.conv1.weight", "instead of (15, 16, 3, 3)"]),
        (_set("linear.weight", 255, 4), ["linear.weight (255, 4) instead of (256, 4)"]),
        (_set("linear.weight", 256, 5), [GAIN, "(16, 10) instead of (16, 11)"]),
        (_set(GAIN, 16, 9), ["blocks.0.0.bn1.gain.weight (16, 9) instead of (16, 10)"]),
        (_set(GAIN, 16, 6), ["blocks.0.0.bn1.bias.weight (16, 10) instead of (16, 6)"]),
        (_set("shared.weight", 5, 7), [GAIN, "(16, 10) instead of (16, 11)"]),
        (_set("shared.weight", 5), ["shared.weight", "2 dimensions"]),
        (_set("blocks.9.0.conv1.weight", 1), ["10 blocks"]),
        (_set("blocks.3.0.conv1.weight", 16, 16, 3, 3), ["missing", "blocks.3.0.conv1.bias", "more"]),
        (_set("blocks.1.1.gamma", 1), ["blocks.1.1.gamma (1,) instead of ()"]),
        (_set("output_layer.0.gain", 17), ["output_layer.0.gain (17,) instead of (16,)"]),
        (lambda state: state.update({CONV: torch.zeros(16, 16, 3, 3, dtype=torch.int64)}), [CONV, "floating"]),
        (lambda state: state[CONV].fill_(float("nan")), [CONV, "not finite"]),
        (lambda state: state[CONV].zero_(), [CONV, "spectral norm 0"]),
        (lambda state: state["blocks.1.0.conv1.u0"].zero_(), ["conv1.u0", "spectral norm 0"]),
        (lambda state: state["blocks.1.0.bn2.stored_var"][2].fill_(-1), ["blocks.1.0.bn2.stored_var", "-1"]),
    ],
)
def test_bad_tensors(copied: Path, change: Callable[[dict[str, Any]], object], parts: list[str]) -> None:
    state: dict[str, Any] = tiny_state()
    change(state)
    torch.save(state, copied / "G_ema.pth")
    _refused(copied, str(copied / "G_ema.pth"), *parts)


@pytest.mark.parametrize("changes", [{}, {"G_shared": False, "hier": False}], ids=["shared", "not-shared"])
def test_missing_tensors_are_named(copied: Path, changes: dict[str, Any]) -> None:
    state = tiny_state(**changes)
    for key in list(state)[::3]:
        torch.save({other: value for other, value in state.items() if other != key}, copied / "G_ema.pth")
        _refused(copied, "missing", key)


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.999])
@pytest.mark.parametrize("new_format", [True, False])
def test_truncated_weights(copied: Path, kept: float, new_format: bool) -> None:
    content = _saved(tiny_state(), _use_new_zipfile_serialization=new_format)
    content = content[: kept if isinstance(kept, int) else int(len(content) * kept)]
    (copied / "G_ema.pth").write_bytes(content)
    _refused(copied, "G_ema.pth", "damaged")
    _refused(_zip(copied / "a.zip", **{"G_ema.pth": content}), "a.zip", "G_ema.pth", "damaged")


def test_damaged_zip(copied: Path) -> None:
    archive = _zip(copied / "a.zip", **{"G_ema.pth": (copied / "G_ema.pth").read_bytes()})
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    _refused(archive, "a.zip", "damaged")
    # Inside the packed data, which only the checksum tells.
    archive.write_bytes(content[:5000] + bytes(50) + content[5050:])
    _refused(archive, "a.zip", "cannot be unpacked")


def test_zip_without_weights(tmp_path: Path) -> None:
    _refused(_zip(tmp_path / "a.zip", **{"138k__D.pth": b"x"}), "a.zip", "neither G_ema.pth nor G.pth")


def test_zip_with_several(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", **{"100k__G.pth": b"x", "138k__G.pth": b"x"})
    _refused(archive, "several", "100k/G.pth, 138k/G.pth")


@pytest.mark.parametrize("new_format", [True, False])
def test_code_is_refused_and_not_run(copied: Path, tmp_path: Path, new_format: bool) -> None:
    content = _saved({"a": Call(os.mkdir, str(tmp_path / "ran"))}, _use_new_zipfile_serialization=new_format)
    (copied / "G_ema.pth").write_bytes(content)
    _refused(copied, "G_ema.pth", "could run code")
    _refused(_zip(copied / "a.zip", **{"G_ema.pth": content}), "a.zip", "could run code")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3)])
def test_not_a_state_dict(copied: Path, content: object) -> None:
    torch.save(content, copied / "G_ema.pth")
    _refused(copied, "state dict")


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "[" * 100_000, '{"BN_eps": 0}', '{"BN_eps": "1"}'])
def test_bad_config(copied: Path, content: str) -> None:
    (copied / "config.json").write_text(content)
    _refused(copied, "config.json")


@pytest.mark.parametrize("key", ["BN_eps", "SN_eps"])
@pytest.mark.parametrize("value", [0, -1e-6, 1, True, None, "1e-6", float("nan"), []])
def test_config_values(copied: Path, key: str, value: object) -> None:
    (copied / "config.json").write_text(json.dumps({key: value}))
    _refused(copied, "config.json", key, "small positive")
