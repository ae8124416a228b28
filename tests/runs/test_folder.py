from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from biggan_discovery import Directions, FunctionGenerator, discover
from biggan_discovery.errors import UserError
from biggan_discovery.runs import folder as run_folder
from biggan_discovery.runs.folder import PREVIOUS, STATE, State, check_same_run, read_saved, resumed

QUICK = {"steps": 6, "batch": 2, "save_every": 2, "quiet": True, "judge": False}


def generator(*, name: str = "toy", sha256: str = "") -> FunctionGenerator:
    found = FunctionGenerator(lambda z: z.square().view(-1, 1, 1, 4), z_dim=4, name=name)
    found.sha256 = sha256
    return found


def state(steps: int, value: float = 1.0) -> State:
    return State({"lr": 0.1}, {"A": torch.full((2, 3), value)}, ("penalty",), 9, [[1.0]] * steps, {"cosine": 0.5})


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_a_state_is_read_as_it_was_saved(tmp_path: Path):
    assert read_saved(tmp_path) is None
    state(3).save(tmp_path)
    saved = read_saved(tmp_path)
    assert saved is not None
    assert (saved.settings, saved.facts, saved.step) == ({"lr": 0.1}, {"cosine": 0.5}, 3)
    again = resumed(saved, state(0, 0.0))
    assert torch.equal(again.tensors["A"], torch.ones(2, 3))
    assert again.history == [[1.0]] * 3


def test_every_flipped_bit_is_noticed_and_the_checkpoint_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    state(3).save(tmp_path)
    state(4).save(tmp_path)
    whole = (tmp_path / STATE).read_bytes()
    chance = random.Random(0)
    for bit in [*range(64), *chance.sample(range(8 * len(whole)), 300)]:
        (tmp_path / STATE).write_bytes(whole)
        flip(tmp_path / STATE, bit)
        caplog.clear()
        saved = read_saved(tmp_path)
        assert saved is not None
        assert saved.step == 3
        (said,) = caplog.messages
        assert f"{tmp_path / STATE} is not a readable state of a search" in said
        assert said.endswith(f"resuming from {PREVIOUS}, saved at step 3")


def test_without_a_checkpoint_before_damage_is_an_error(tmp_path: Path):
    state(3).save(tmp_path)
    flip(tmp_path / STATE, 1600)
    with pytest.raises(UserError, match=r"state.safetensors is not a readable state.*choose another --out"):
        read_saved(tmp_path)


def test_damage_of_both_is_an_error_that_names_both(tmp_path: Path):
    for steps in (3, 4):
        state(steps).save(tmp_path)
    flip(tmp_path / STATE, 1600)
    flip(tmp_path / PREVIOUS, 1600)
    with pytest.raises(UserError, match=r"state.safetensors is not.*state.previous.safetensors is not"):
        read_saved(tmp_path)


def test_a_damaged_state_never_takes_the_place_of_the_one_before(tmp_path: Path):
    for steps in (3, 4):
        state(steps).save(tmp_path)
    flip(tmp_path / STATE, 1600)
    before = (tmp_path / PREVIOUS).read_bytes()
    state(5).save(tmp_path)
    assert (tmp_path / PREVIOUS).read_bytes() == before
    saved = read_saved(tmp_path)
    assert saved is not None
    assert saved.step == 5


def test_the_checkpoint_before_alone_is_enough(tmp_path: Path):
    for steps in (3, 4):
        state(steps).save(tmp_path)
    (tmp_path / STATE).unlink()
    saved = read_saved(tmp_path)
    assert saved is not None
    assert saved.step == 3


def test_a_run_with_a_damaged_state_ends_as_one_never_interrupted(tmp_path: Path):
    whole = discover(generator(), out=tmp_path, **QUICK)
    (tmp_path / "directions.safetensors").unlink()
    flip(tmp_path / STATE, 8 * 900)
    assert torch.equal(discover(generator(), out=tmp_path, **QUICK).Q, whole.Q)


def test_damaged_directions_of_a_finished_run_say_how_to_get_them_back(tmp_path: Path):
    whole = discover(generator(), out=tmp_path, **QUICK)
    flip(tmp_path / "directions.safetensors", 8 * 500)
    with pytest.raises(UserError, match=r"directions.safetensors.*move it away, and the same command writes it again"):
        discover(generator(), out=tmp_path, **QUICK)
    (tmp_path / "directions.safetensors").rename(tmp_path / "away")
    assert torch.equal(discover(generator(), out=tmp_path, **QUICK).Q, whole.Q)


# Earlier versions


def old_state(folder: Path) -> None:
    """Rewrite the state as the first version wrote it: no format, no checksum."""
    saved = read_saved(folder)
    assert saved is not None
    header = json.dumps({"settings": saved.settings, "facts": saved.facts})
    (folder / STATE).write_bytes(safetensors.torch.save(saved.tensors, {"biggan_discovery": header}))


def test_a_finished_run_of_an_earlier_version_is_told_at_once(tmp_path: Path):
    whole = discover(generator(), out=tmp_path, **QUICK)
    old_state(tmp_path)
    assert torch.equal(discover(generator(), out=tmp_path, **QUICK).Q, whole.Q)


def test_an_unfinished_run_of_an_earlier_version_is_refused(tmp_path: Path):
    discover(generator(), out=tmp_path, **QUICK)
    (tmp_path / "directions.safetensors").unlink()
    old_state(tmp_path)
    with pytest.raises(UserError, match=r"state.safetensors is the checkpoint of an unfinished run of an earlier"):
        discover(generator(), out=tmp_path, **QUICK)


def test_a_state_of_a_later_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "FORMAT", 99)
        state(3).save(tmp_path)
    with pytest.raises(UserError, match="has format 99, but this version reads up to 3; please update"):
        read_saved(tmp_path)


@pytest.mark.parametrize("header", ["[]", "{}", '{"settings": 1, "facts": {}}', '{"format": 2}', "[" * 100_000, "{"])
def test_other_headers_are_no_states(tmp_path: Path, header: str):
    content = safetensors.torch.save({"history": torch.zeros(1, 2)}, {"biggan_discovery": header})
    (tmp_path / STATE).write_bytes(content)
    with pytest.raises(UserError, match="is not a readable state of a search"):
        read_saved(tmp_path)


def test_a_state_that_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    state(3).save(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(safetensors, "safe_open", refuse)
    with pytest.raises(UserError, match="cannot be read: Permission denied") as caught:
        read_saved(tmp_path)
    assert "remove" not in str(caught.value)


# Files decide by their content


@pytest.mark.parametrize("before", ["/old/clone/weights", "scenes"])
def test_a_moved_generator_resumes(tmp_path: Path, before: str):
    whole = discover(generator(name=before, sha256="a1"), out=tmp_path, **QUICK)
    (tmp_path / "directions.safetensors").unlink()
    moved = discover(generator(name="/new/weights", sha256="a1"), out=tmp_path, **QUICK)
    assert torch.equal(moved.Q, whole.Q)
    assert moved.metadata["generator"] == "/new/weights"


@pytest.mark.parametrize(("name", "sha256", "said"), [("/new", "b2", 'generator_sha256 "a1"'), ("/new", "", '"/old"')])
def test_another_generator_does_not(tmp_path: Path, name: str, sha256: str, said: str):
    discover(generator(name="/old", sha256="a1"), out=tmp_path, **QUICK)
    with pytest.raises(UserError, match=said):
        discover(generator(name=name, sha256=sha256), out=tmp_path, **QUICK)


def test_a_moved_and_renamed_start_resumes(tmp_path: Path):
    start, moved = tmp_path / "start.safetensors", tmp_path / "elsewhere" / "begin.safetensors"
    Directions(torch.eye(4).flip(0)).save(start)
    whole = discover(generator(), out=tmp_path / "run", init=start, **QUICK)
    (tmp_path / "run" / "directions.safetensors").unlink()
    moved.parent.mkdir()
    shutil.move(start, moved)
    named = Directions.load(moved)
    named.rename(0, "zoom")
    named.save(moved)
    again = discover(generator(), out=tmp_path / "run", init=moved, **QUICK)
    assert torch.equal(again.Q, whole.Q)
    assert again.metadata["settings"]["init_sha256"] == named.sha256


def test_another_start_under_the_same_name_does_not(tmp_path: Path):
    start = tmp_path / "start.safetensors"
    Directions(torch.eye(4).flip(0)).save(start)
    discover(generator(), out=tmp_path / "run", init=start, **QUICK)
    Directions(torch.eye(4)).save(start)
    with pytest.raises(UserError, match="init_sha256"):
        discover(generator(), out=tmp_path / "run", init=start, **QUICK)


def test_changed_settings_are_named(tmp_path: Path):
    state(3).save(tmp_path)
    saved = read_saved(tmp_path)
    assert saved is not None
    with pytest.raises(UserError, match=r"contains a run with lr 0.1, not 0.2, samples unset, not 3; use the same"):
        check_same_run(tmp_path, saved, {"lr": 0.2, "samples": 3})
