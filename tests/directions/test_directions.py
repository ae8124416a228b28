from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery.directions import Directions, initial_matrix, load, orthonormalize
from biggan_discovery.directions import directions as module
from biggan_discovery.directions.layers import subset
from biggan_discovery.errors import UserError


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def directions() -> Directions:
    return Directions(normal(5, 8), metadata={"generator": "scenes-64", "classes": [3], "seed": 0})


# The object


def test_rows_are_orthonormalised_float32_copies_on_the_cpu():
    A = normal(5, 8).double().requires_grad_()
    directions = Directions(A)
    torch.testing.assert_close(directions.Q, orthonormalize(A.detach()).float())
    assert (len(directions), directions.z_dim) == (5, 8)
    for matrix in (directions.A, directions.Q):
        assert matrix.dtype == torch.float32
        assert not matrix.requires_grad
    A.data.zero_()
    assert directions.A.abs().sum() > 0


def test_metadata_is_copied_and_completed():
    given = {"settings": {"lr": 0.01}}
    directions = Directions(normal(2, 4), metadata=given)
    directions.metadata["settings"]["lr"] = 1
    assert given == {"settings": {"lr": 0.01}}
    assert directions.metadata["format"] == 2
    assert directions.names == directions.notes == ["", ""]


def test_rows_need_not_be_orthonormal_where_the_settings_say_so():
    A = torch.ones(4, 2)
    directions = Directions(A, A, {"settings": {"orthogonalize": "none"}})
    assert torch.equal(directions.Q, A)
    with pytest.raises(UserError, match="4 rows of Q cannot be orthonormal in 2 dimensions"):
        Directions(A, A)


def test_repr(directions: Directions):
    directions.rename(1, "size")
    assert repr(directions) == "Directions(5 × 8 of scenes-64, 1 named)"


@pytest.mark.parametrize(
    ("A", "Q", "metadata", "message"),
    [
        (torch.ones(3), torch.ones(3), None, r"A is a torch.float32 tensor \(3,\)"),
        (torch.zeros(0, 3), torch.zeros(0, 3), None, "A is a"),
        (torch.eye(3), torch.eye(3).long(), None, "Q is a torch.int64"),
        (torch.eye(3), torch.eye(3)[:2], None, r"A has shape \(3, 3\) and Q \(2, 3\)"),
        (torch.eye(3) * float("nan"), torch.eye(3), None, "A contains nan"),
        (torch.ones(3, 3), None, None, "row 1 of A"),
        (torch.eye(3), 2 * torch.eye(3), None, "not orthonormal"),
        (torch.eye(2), None, {"names": ["a"]}, "names must be 2 strings"),
        (torch.eye(2), None, {"names": ["a", 3]}, "names must be 2 strings"),
        (torch.eye(2), None, {"notes": "ab"}, "notes must be 2 strings"),
        (torch.eye(2), None, {"settings": [1]}, "settings must be a dict"),
    ],
)
def test_bad_contents(A: torch.Tensor, Q: torch.Tensor | None, metadata: dict | None, message: str):
    with pytest.raises(UserError, match=message):
        Directions(A, Q, metadata)


# Moving along a direction


def test_apply_adds_a_multiple_of_a_row(directions: Directions):
    z = normal(3, 8, seed=1)
    torch.testing.assert_close(directions.apply(z, 2, -1.5), z - 1.5 * directions.Q[2])
    amounts = torch.tensor([0.0, 1.0, 2.0])
    torch.testing.assert_close(directions.apply(z, 4, amounts), z + amounts[:, None] * directions.Q[4])
    assert torch.equal(directions.apply(z, 4, 0), z)


def test_apply_shifts_all_layers_alike_and_keeps_the_type(directions: Directions):
    z = normal(3, 4, 8, seed=1).double()
    shifted = directions.apply(z, 0, torch.tensor([1, 2, 3]))
    assert shifted.dtype == torch.float64
    expected = torch.stack([directions.apply(z[:, i], 0, torch.tensor([1, 2, 3])) for i in range(4)], dim=1)
    torch.testing.assert_close(shifted, expected)


def test_apply_is_differentiable_with_respect_to_the_amount(directions: Directions):
    amount = torch.zeros(3, requires_grad=True)
    directions.apply(torch.zeros(3, 8), 1, amount)[:, 2].sum().backward()
    torch.testing.assert_close(amount.grad, directions.Q[1, 2].expand(3))


@pytest.mark.parametrize(
    ("z", "direction", "amount", "message"),
    [
        (torch.zeros(3, 7), 0, 1.0, r"z has shape \(3, 7\); these directions are for \(N, 8\)"),
        (torch.zeros(8), 0, 1.0, "z has shape"),
        (torch.zeros(3, 8), 5, 1.0, "no direction 5; valid numbers are 0 to 4"),
        (torch.zeros(3, 8), -1, 1.0, "no direction -1"),
        (torch.zeros(3, 8), 0, torch.ones(2), r"amount has shape \(2,\)"),
        (torch.zeros(3, 8), 0, torch.ones(3, 1), r"amount has shape \(3, 1\)"),
    ],
)
def test_bad_moves(directions: Directions, z: torch.Tensor, direction: int, amount: object, message: str):
    with pytest.raises(UserError, match=message):
        directions.apply(z, direction, amount)  # type: ignore[arg-type]


# Names


def test_a_direction_is_found_by_number_name_or_beginning(directions: Directions):
    for index, name in enumerate(["camera height", "camera azimuth", "size", "", "cam"]):
        directions.rename(index, name)
    assert [directions.index(text) for text in ("3", " 0 ", "Size", "s", "camera h", "cam", "CAMERA AZIMUTH")] == [
        3, 0, 2, 2, 0, 4, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", "no direction 5; valid numbers are 0 to 4"),
        ("-1", "no direction -1"),
        ("9" * 5000, "no direction is called"),
        ("camera", "'camera' is ambiguous: 0 'camera height', 1 'camera azimuth'"),
        ("sise", r"no direction is called 'sise' \(did you mean 'size'\?\); numbers are 0 to 4"),
        ("", "no direction is called ''"),
    ],
)
def test_a_direction_that_is_not_there(directions: Directions, text: str, message: str):
    for index, name in enumerate(["camera height", "camera azimuth", "size"]):
        directions.rename(index, name)
    with pytest.raises(UserError, match=message):
        directions.index(text)


@pytest.mark.parametrize(
    ("index", "name", "message"),
    [
        (5, "size", "no direction 5"),
        (0, "3", "cannot be called '3'"),
        (0, "-3", "cannot be called"),
        (0, "two\nlines", "cannot be called"),
        (0, "\x1b[31m", "cannot be called"),
        (0, "Hue", "direction 1 is already called"),
    ],
)
def test_bad_names(directions: Directions, index: int, name: str, message: str):
    directions.rename(1, "hue")
    with pytest.raises(UserError, match=message):
        directions.rename(index, name)
    assert directions.names == ["", "hue", "", "", ""]


def test_a_name_is_stripped_changed_and_taken_away(directions: Directions):
    directions.rename(1, "  hue ")
    directions.rename(1, "Hue")
    assert directions.names[1] == "Hue"
    directions.rename(1, "")
    directions.rename(2, "")
    assert directions.names == [""] * 5


# Files


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=10)
@given(
    seed=st.integers(0, 2**31),
    scale=st.sampled_from([1e-30, 1.0, 1e30]),
    extra=st.dictionaries(st.text().map(lambda key: f"x{key}"), json_values, max_size=3),
)
def test_a_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, seed: int, scale: float, extra: dict):
    path = tmp_path_factory.mktemp("round") / "found.safetensors"
    before = Directions(normal(3, 6, seed=seed) * scale, metadata=extra)
    before.rename(1, "höhe")
    before.notes[2] = "zwei\nZeilen"
    before.save(path)
    after = Directions.load(path)
    assert torch.equal(before.A.view(torch.int32), after.A.view(torch.int32))
    assert torch.equal(before.Q.view(torch.int32), after.Q.view(torch.int32))
    assert after.metadata == before.metadata
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_file_is_what_the_design_says(directions: Directions, tmp_path: Path):
    directions.save(tmp_path / "new" / "found.safetensors")
    with safetensors.safe_open(tmp_path / "new" / "found.safetensors", "pt") as file:
        assert sorted(file.keys()) == ["A", "Q"]
        header = json.loads(file.metadata()["biggan_discovery"])
    assert header["format"] == 2
    assert re.fullmatch("[0-9a-f]{64}", header["checksum"])
    assert header["generator"] == "scenes-64"
    assert torch.equal(load(tmp_path / "new" / "found.safetensors").Q, directions.Q)


def test_a_file_may_lack_all_metadata_but_the_format(tmp_path: Path):
    path = write(tmp_path, header='{"format": 1}')
    assert Directions.load(path).names == ["", "", ""]


def test_bad_saves(directions: Directions, tmp_path: Path):
    (tmp_path / "file").write_text("")
    for path, message in [
        (tmp_path / "found.npy", "must end in .safetensors"),
        (tmp_path / "file" / "found.safetensors", "cannot write"),
    ]:
        with pytest.raises(UserError, match=message):
            directions.save(path)
    directions.metadata["path"] = tmp_path
    with pytest.raises(UserError, match="JSON-serialisable"):
        directions.save(tmp_path / "found.safetensors")
    directions.metadata["names"] = ["one"]
    with pytest.raises(UserError, match="names must be 5 strings"):
        directions.save(tmp_path / "found.safetensors")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def write(folder: Path, header: str | None = '{"format": 1}', name: str = "f.safetensors", **tensors) -> Path:
    content = {"A": torch.eye(3), "Q": torch.eye(3)} | tensors
    metadata = None if header is None else {"biggan_discovery": header}
    kept = {letter: tensor for letter, tensor in content.items() if tensor is not None}
    (folder / name).write_bytes(safetensors.torch.save(kept, metadata))
    return folder / name


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"header": None}, "no header 'biggan_discovery'"),
        ({"header": None, "A": None}, "no header"),
        ({"Q": None}, "no tensor Q"),
        ({"header": "{"}, "not valid JSON"),
        ({"header": "[" * 100_000}, "more than 64 levels deep"),
        ({"header": "[]"}, "not a JSON object"),
        ({"header": "{}"}, "no format version"),
        ({"header": '{"format": "1"}'}, "no checksum"),
        ({"header": '{"format": 0}'}, "no checksum"),
        ({"header": '{"format": true}'}, "no format version"),
        ({"header": '{"format": 2}'}, "no checksum"),
        ({"header": '{"format": 1, "names": ["a"]}'}, "names must be 3 strings"),
        ({"header": '{"format": 1, "settings": null}'}, "settings must be a dict"),
        ({"A": torch.eye(3).double()}, "A is torch.float64"),
        ({"Q": torch.eye(3).int()}, "Q is torch.int32"),
        ({"A": torch.eye(4)}, "they must be the same"),
        ({"A": torch.ones(3), "Q": torch.ones(3)}, "it must be"),
        ({"A": torch.zeros(0, 3), "Q": torch.zeros(0, 3)}, "it must be"),
        ({"Q": torch.full((3, 3), float("nan"))}, "Q contains nan"),
        ({"Q": torch.eye(3) + 0.01}, "not orthonormal"),
    ],
)
def test_files_with_something_else_in_them(tmp_path: Path, contents: dict, message: str):
    path = write(tmp_path, **contents)
    with pytest.raises(UserError, match=message) as caught:
        Directions.load(path)
    assert str(path) in str(caught.value)


def test_files_of_later_versions_are_refused(directions: Directions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "FORMAT", 3)
        directions.save(tmp_path / "f.safetensors")
    with pytest.raises(UserError, match="its format is 3, but this version reads up to 2; please update"):
        Directions.load(tmp_path / "f.safetensors")


def test_damaged_files_never_load_as_something(directions: Directions, tmp_path: Path):
    path = tmp_path / "f.safetensors"
    directions.save(path)
    whole = path.read_bytes()
    for content in [b"", b"x", b"\xff" * 64, whole[:7], whole[:50], whole[: len(whole) // 2], whole[:-1], whole + b"x"]:
        path.write_bytes(content)
        with pytest.raises(UserError, match="is not a directions file, or is damaged"):
            Directions.load(path)


def test_missing_files_and_other_formats(directions: Directions, tmp_path: Path):
    directions.save(tmp_path / "cones.safetensors")
    with pytest.raises(UserError, match=r"no file .*did you mean 'cones.safetensors'"):
        Directions.load(tmp_path / "cone.safetensors")
    with pytest.raises(UserError, match="no file"):
        Directions.load(tmp_path / "nowhere" / "cone.safetensors")
    with pytest.raises(UserError, match="is a folder"):
        Directions.load(tmp_path)
    torch.save(torch.eye(3), tmp_path / "cones.pt")
    with pytest.raises(UserError, match="biggan-discovery import"):
        Directions.load(tmp_path / "cones.pt")


# Where a search starts


def test_random_start_is_orthonormal_seeded_and_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    A = initial_matrix("random", 5, 8, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert A.dtype == torch.float32
    torch.testing.assert_close(A @ A.T, torch.eye(5), rtol=0, atol=1e-6)
    assert torch.equal(A, initial_matrix("random", 5, 8, seed=1))
    assert not torch.equal(A, initial_matrix("random", 5, 8, seed=2))


def test_random_frames_are_uniform():
    # Entries of a uniformly distributed frame have mean 0 and variance 1/z_dim, in the last row as in the first.
    frames = torch.stack([initial_matrix("random", 4, 4, seed) for seed in range(200)])
    assert frames.mean(0).abs().max() < 4 * 0.5 / 200**0.5
    torch.testing.assert_close(frames.square().mean(0), torch.full((4, 4), 0.25), rtol=0, atol=0.08)


def test_start_from_coordinates():
    assert initial_matrix("coordinates", 2, 3, seed=0).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_start_from_a_file(directions: Directions, tmp_path: Path):
    directions.save(tmp_path / "f.safetensors")
    assert torch.equal(initial_matrix(tmp_path / "f.safetensors", 3, 8, seed=0), directions.Q[:3])


def test_bad_starts(directions: Directions, tmp_path: Path):
    directions.save(tmp_path / "f.safetensors")
    path = str(tmp_path / "f.safetensors")
    for init, ndirs, z_dim, message in [
        ("random", 9, 8, "directions is 9"),
        ("random", 0, 8, "directions is 0"),
        ("coordinates", 9, 8, "directions is 9"),
        ("randon", 3, 8, r"no file randon \(did you mean 'random'\?\)"),
        (str(tmp_path / "g.safetensors"), 3, 8, "did you mean 'f.safetensors'"),
        (path, 3, 9, "for z_dim 8, but this generator has z_dim 9"),
        (path, 6, 8, "has 5 directions; 6 are needed"),
    ]:
        with pytest.raises(UserError, match=message):
            initial_matrix(init, ndirs, z_dim, seed=0)


def test_stars_and_hidden_directions_are_kept_with_the_others(tmp_path: Path) -> None:
    found = Directions(torch.eye(3, 5))
    assert found.starred == found.hidden == [False] * 3
    found.mark(1, starred=True)
    found.mark(2, hidden=True)
    found.mark(2, starred=None)
    found.save(tmp_path / "found.safetensors")
    again = Directions.load(tmp_path / "found.safetensors")
    assert (again.starred, again.hidden) == ([False, True, False], [False, False, True])
    assert subset(again, [2, 1]).starred == [False, True]
    with pytest.raises(UserError, match="no direction 3"):
        found.mark(3, starred=True)
    with pytest.raises(UserError, match="starred must be 3 of true or false"):
        Directions(torch.eye(3, 5), metadata={"starred": [1, 0, 0]})
