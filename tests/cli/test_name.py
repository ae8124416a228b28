from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest
import safetensors.torch
import torch

from biggan_discovery.directions import Directions, changing
from biggan_discovery.errors import UserError
from tests.cli.console import Console


@pytest.fixture
def file(tmp_path: Path) -> Path:
    A = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    Directions(A, metadata={"names": ["hue", "", "camera height"]}).save(tmp_path / "found.safetensors")
    return tmp_path / "found.safetensors"


def test_names_are_kept_in_the_file(console: Console, file: Path):
    before = Directions.load(file)
    assert console("name", file) == "0  hue\n1  -\n2  camera height\n"
    assert console("name", file, "1", "object size") == f"{file}: direction 1 is now 'object size'\n"
    assert console("name", file, "cam", "camera azimuth") == f"{file}: direction 2 is now 'camera azimuth'\n"
    assert console("name", file, "0", "") == f"{file}: direction 0 has no name\n"
    assert console("name", file, "object") == "1  object size\n"
    after = Directions.load(file)
    assert after.names == ["", "object size", "camera azimuth"]
    assert torch.equal(after.A, before.A)
    assert torch.equal(after.Q, before.Q)


def test_bad_names(console: Console, file: Path):
    for arguments, message in [
        ((file.with_name("found.safetensor"),), "did you mean 'found.safetensors'"),
        ((file, "3"), "no direction 3; valid numbers are 0 to 2"),
        ((file, "hues", "x"), "did you mean 'hue'"),
        ((file, "1", "HUE"), "direction 0 is already called"),
        ((file, "1", "7"), "cannot be called '7'"),
        ((file, "1", "camera", "height"), "unexpected extra argument"),
    ]:
        assert message in console("name", *arguments, code=2)
    assert Directions.load(file).names == ["hue", "", "camera height"]


LISTED = """\
generator  scenes-64
classes    cube, sphere, cylinder, cone, torus
layers     all
method     hessian, joint-diagonalization
author     A. Name
licence    CC-BY-4.0

    strength  within  name
0     0.0475      3°  object position
1   0.000349     41°  -  (inactive)
   note: does nothing
   recommended: -2 to 3.5
2   8.83e-05     90°  a long name that goes on …  (inactive)
"""


def test_the_list_fits_in_60_columns(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "f.safetensors"
    metadata = {
        "generator": "scenes-64",
        "classes": [0, 1, 2, 3, 4],
        "class_names": ["cube", "sphere", "cylinder", "cone", "torus"],
        "method": "hessian",
        "solver": "joint-diagonalization",
        "layers": "all",
        "strength": [0.047458704840859976, 0.00034948624147172237, 8.8293320266995e-05],
        "error_angle": [3.2, 41.0, 89.9],
    }
    Directions(torch.eye(3), metadata=metadata).save(path)
    console("name", path, "0", "object position")
    console("name", path, "2", "a long name that goes on and on, up to one hundred characters")
    console("name", path, "1", "--note", " does nothing ", "--range", "-2,3.5")
    console("name", path, "--author", "A. Name", "--licence", "CC-BY-4.0")
    monkeypatch.setenv("COLUMNS", "200")
    whole = console("name", path)
    assert "one hundred characters  (inactive)\n" in whole
    monkeypatch.setenv("COLUMNS", "60")
    assert console("name", path) == LISTED
    assert console("name", path, "1") == "".join(LISTED.splitlines(keepends=True)[9:12])
    assert max(map(len, LISTED.splitlines())) <= 60


def test_empty_texts_remove(console: Console, file: Path):
    console("name", file, "1", "size", "--note", "x", "--range", "-1,1")
    console("name", file, "--author", "x")
    console("name", file, "1", "", "--note", "", "--range", "")
    console("name", file, "--author", "")
    assert console("name", file) == "0  hue\n1  -\n2  camera height\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("0", "x" * 101), "at most 100 printable characters"),
        (("0", "x" * 10**6), "at most 100 printable characters"),
        (("0", "a\x1b[31mb"), "one line of at most"),
        (("0", "a\nb"), "one line of at most"),
        (("0", "a\u202eb"), "one line of at most"),
        (("0", "a\udcffb"), "one line of at most"),
        (("0", "--note", "x" * 1001), "a note is one line of at most 1000"),
        (("0", "--note", "a\x07"), "a note is one line of at most 1000"),
        (("--author", "a\tb"), "the author is one line"),
        (("--note", "x"), "give its number or name after the file"),
        (("0", "--range", "3"), "write two numbers"),
        (("0", "--range", "a,b"), "write two numbers"),
        (("0", "--range", "3,-3"), "the smaller first"),
        (("0", "--range", "nan,3"), "the smaller first"),
        (("0", "--range", "-inf,3"), "the smaller first"),
    ],
)
def test_bad_texts_change_nothing(console: Console, file: Path, arguments: tuple[str, ...], said: str):
    before = file.read_bytes()
    message = console("name", file, *arguments, code=2)
    assert said in message
    assert len(message) < 300
    assert message.replace("\n", "").isprintable()
    assert file.read_bytes() == before


def test_names_of_strangers_are_listed_without_control_characters(console: Console, tmp_path: Path):
    names = ["a\x1b[31mb", "zwei\nZeilen", "\ud800", "\0", "a" * 9_999]
    header = json.dumps({"format": 1, "names": names, "notes": ["\x07"] * 5})
    path = tmp_path / "f.safetensors"
    path.write_bytes(safetensors.torch.save({"A": torch.eye(5), "Q": torch.eye(5)}, {"biggan_discovery": header}))
    shown = console("name", path)
    assert all(line.isprintable() for line in shown.splitlines())


# Nothing is lost


def test_names_given_at_the_same_time_are_all_kept(tmp_path: Path):
    path, workers, each = tmp_path / "f.safetensors", 4, 6
    Directions(torch.eye(workers * each)).save(path)

    def name_some(worker: int) -> None:
        for index in range(worker * each, (worker + 1) * each):
            with changing(path) as directions:
                directions.rename(index, f"direction {index}")

    threads = [threading.Thread(target=name_some, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Directions.load(path).names == [f"direction {index}" for index in range(workers * each)]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_an_error_saves_nothing(file: Path):
    before = file.read_bytes()

    def name_two() -> None:
        with changing(file) as directions:
            directions.rename(1, "size")
            directions.rename(0, "7")

    with pytest.raises(UserError):
        name_two()
    assert file.read_bytes() == before


def test_the_same_name_again_writes_nothing(console: Console, file: Path):
    before = file.stat().st_mtime_ns
    console("name", file, "0", "hue")
    assert file.stat().st_mtime_ns == before


def test_a_read_only_file_is_not_changed(console: Console, file: Path):
    before = file.read_bytes()
    file.chmod(stat.S_IRUSR)
    assert "it is read-only; change a copy" in console("name", file, "0", "x", code=2)
    assert file.read_bytes() == before
    assert console("name", file, "0") == "0  hue\n"


def test_a_read_only_folder_is_one_line(console: Console, file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)  # as on a read-only file system
    assert "it is read-only" in console("name", file, "0", "x", code=2)


def test_the_bundled_file_is_not_changed(console: Console):
    assert "scenes-64 is the bundled file" in console("name", "scenes-64", "0", "x", code=2)


def test_files_of_the_first_version_get_a_checksum_when_named(console: Console, tmp_path: Path):
    path = tmp_path / "f.safetensors"
    path.write_bytes(
        safetensors.torch.save({"A": torch.eye(3), "Q": torch.eye(3)}, {"biggan_discovery": '{"format": 1, "x": 5}'})
    )
    console("name", path, "1", "hue")
    with safetensors.safe_open(path, framework="pt") as read:
        header = json.loads(read.metadata()["biggan_discovery"])
    assert header["format"] == 2
    assert len(header["checksum"]) == 64
    assert Directions.load(path).metadata["x"] == 5
