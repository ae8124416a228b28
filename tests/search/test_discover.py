from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import sys
import threading

import filelock
import pytest
import torch
from PIL import Image

from biggan_discovery import Directions, FunctionGenerator, discover
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation import recovery
from biggan_discovery.numerics import trial
from biggan_discovery.runs import folder as run_folder
from biggan_discovery.runs import pace

FRAME = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0].float()
MIX = torch.randn(5, 48, generator=torch.Generator().manual_seed(1))


def separable(z: torch.Tensor) -> torch.Tensor:
    """A sum of functions of one coordinate each along FRAME, so the Hessian is diagonal only in that frame."""
    return (torch.tanh(z @ FRAME.T) @ MIX).view(-1, 3, 4, 4)


def generator() -> FunctionGenerator:
    return FunctionGenerator(separable, z_dim=5)


QUICK = {"steps": 6, "batch": 4, "save_every": 2, "quiet": True}


def test_the_frame_of_a_separable_function_is_found():
    found = discover(generator(), steps=300, batch=16, lr=0.05, quiet=True)
    assert recovery(found.Q, FRAME).mean > 0.999
    penalties = found.metadata["held_out_penalty"]
    assert penalties["after"][0] < 1e-4 * penalties["random"][0]
    assert found.metadata["objective_value"] == penalties["after"][0]


def test_gram_schmidt_takes_the_same_steps_as_qr():
    by_qr = discover(generator(), orthogonalize="qr", **QUICK)
    by_gram_schmidt = discover(generator(), orthogonalize="gram-schmidt", **QUICK)
    assert torch.allclose(by_qr.Q, by_gram_schmidt.Q, atol=1e-5)


def test_rows_of_a_keep_their_length():
    found = discover(generator(), lr=0.5, **QUICK)
    assert torch.allclose(found.A.norm(dim=1), torch.full((5,), 5**0.5), atol=1e-5)


def test_rows_of_a_stay_orthogonal_in_long_runs():
    # Rows that drift towards those before them once made a long search of all directions fail.
    found = discover(generator(), steps=1500, batch=1, lr=0.5, quiet=True)
    assert torch.allclose(found.A @ found.A.T, 5 * torch.eye(5), atol=1e-4)


def test_without_orthogonalisation_a_is_q():
    found = discover(generator(), orthogonalize="none", **QUICK)
    assert torch.equal(found.A, found.Q)


def test_fewer_directions_and_one_class():
    two = FunctionGenerator(lambda z, y: separable(z) * (1 + y[:, None, None, None]), z_dim=5, num_classes=2)
    found = discover(two, directions=3, classes=1, **QUICK)
    assert found.Q.shape == (3, 5)
    assert found.metadata["classes"] == [1]
    assert found.metadata["class_names"] == ["1"]


def test_start_from_coordinates_and_from_a_file(tmp_path):
    still = discover(generator(), init="coordinates", **{**QUICK, "steps": 0})
    assert torch.equal(still.Q, torch.eye(5))
    still.save(tmp_path / "start.safetensors")
    again = discover(generator(), init=tmp_path / "start.safetensors", **{**QUICK, "steps": 0})
    assert torch.equal(again.Q, still.Q)


def test_a_run_leaves_directions_history_and_state(tmp_path):
    found = discover(generator(), out=tmp_path / "run", **QUICK)
    saved = Directions.load(tmp_path / "run" / "directions.safetensors")
    assert torch.equal(saved.Q, found.Q)
    assert saved.metadata == found.metadata
    json.dumps(saved.metadata)
    with (tmp_path / "run" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert float(rows[0]["lr"]) == 0.01
    assert all(float(row["penalty"]) > 0 for row in rows)


def test_a_finished_run_is_not_run_again(tmp_path):
    discover(generator(), out=tmp_path, **QUICK)
    written = (tmp_path / "directions.safetensors").stat().st_mtime_ns
    discover(generator(), out=tmp_path, **QUICK)
    assert (tmp_path / "directions.safetensors").stat().st_mtime_ns == written


class KilledError(Exception):
    """Simulates a killed process."""


@pytest.mark.parametrize("killed_at", [1, 2, 3])
@pytest.mark.parametrize("moment", ["before writing", "before renaming", "after"])
def test_a_killed_run_ends_as_one_never_interrupted(tmp_path, monkeypatch, killed_at, moment):
    whole = discover(generator(), out=tmp_path / "whole", **QUICK)
    saves = []
    open_state = run_folder.atomic_path

    @contextlib.contextmanager
    def dying_path(path):
        saves.append(path)
        dies = len(saves) == killed_at
        if dies and moment == "before writing":
            raise KilledError
        with open_state(path) as temporary:
            yield temporary
            if dies and moment == "before renaming":
                raise KilledError
        if dies:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "atomic_path", dying_path)
        with pytest.raises(KilledError):
            discover(generator(), out=tmp_path / "broken", **QUICK)
    resumed = discover(generator(), out=tmp_path / "broken", **QUICK)
    assert torch.equal(resumed.A, whole.A)
    assert torch.equal(resumed.Q, whole.Q)
    for name in ("history.csv", "state.safetensors", "directions.safetensors"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    "change",
    [{"lr": 0.02}, {"steps": 7}, {"seed": 1}, {"epsilon": 0.2}, {"probes": 3}, {"init": "coordinates"}, {"batch": 5}],
)
def test_a_changed_option_is_refused_and_named(tmp_path, change):
    discover(generator(), out=tmp_path, **QUICK)
    (name,) = change
    with pytest.raises(UserError, match=rf"{name} .*another --out"):
        discover(generator(), out=tmp_path, **{**QUICK, **change})


def test_a_second_run_in_the_folder_is_refused(tmp_path):
    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another run is using"):
        discover(generator(), out=tmp_path, **QUICK)


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}", b"x" * 100])
def test_a_damaged_state_is_one_clear_line(tmp_path, content):
    (tmp_path / "state.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not a readable state"):
        discover(generator(), out=tmp_path, **QUICK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "hesian"}, "did you mean 'hessian'"),
        ({"orthogonalize": "qrr"}, "did you mean 'qr'"),
        ({"steps": -1}, "steps is -1"),
        ({"batch": 0}, "batch is 0"),
        ({"probes": 1}, "probes is 1"),
        ({"lr": 0.0}, "lr is 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"epsilon": float("inf")}, "epsilon is inf"),
        ({"path_size": -5}, "path_size is -5"),
        ({"directions": 6}, "1 to 5"),
        ({"directions": 0}, "directions is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"save_every": 0}, "save_every is 0"),
        ({"classes": "9"}, "9"),
        ({"tracker": "tensorboard"}, "give out"),
        ({"init": "rundom"}, "did you mean 'random'"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(UserError, match=message):
        discover(generator(), **{**QUICK, **change})


def test_a_penalty_that_is_not_finite_stops_the_run(monkeypatch):
    monkeypatch.setattr(trial, "try_out", lambda _: None)  # which would see it in the first image
    broken = FunctionGenerator(lambda z: separable(z) * float("inf"), z_dim=5, resolution=4, channels=3)
    with pytest.raises(UserError, match="at step 1"):
        discover(broken, **QUICK)


def test_discovery_works_outside_the_main_thread():
    results = []
    worker = threading.Thread(target=lambda: results.append(discover(generator(), **QUICK)))
    worker.start()
    worker.join()
    assert len(results) == 1


def test_tensorboard_scalars(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    discover(generator(), out=tmp_path, tracker="tensorboard", **QUICK)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("penalty")] == [1, 2, 3, 4, 5, 6]
    assert {"held-out penalty/after", "held-out penalty/random"} <= set(events.Tags()["scalars"])
    assert set(events.Tags()["images"]) == {"directions", "found directions"}
    assert [event.step for event in events.Images("directions")] == [2, 4, 6]
    with Image.open(io.BytesIO(events.Images("directions")[0].encoded_image_string)) as picture:
        assert min(picture.size) > 100
    [text] = events.Tensors("settings/text_summary")
    assert b"| path_size | 5.0 |" in text.tensor_proto.string_val[0]


def test_weights_and_biases_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="the optional package wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    seen = {}
    original = wandb.init

    def init(**settings):
        seen["run"] = original(**settings)
        seen["logged"] = logged = []
        plain = seen["run"].log
        monkeypatch.setattr(seen["run"], "log", lambda data, **key: (logged.append((data, key)), plain(data, **key)))
        finish = seen["run"].finish
        monkeypatch.setattr(
            seen["run"], "finish", lambda: (seen.update(summary=seen["run"].summary._as_dict()), finish())
        )
        return seen["run"]

    monkeypatch.setattr(wandb, "init", init)
    discover(generator(), out=tmp_path, tracker="wandb", **QUICK)
    assert [key["step"] for data, key in seen["logged"] if "penalty" in data] == [1, 2, 3, 4, 5, 6]
    assert [name for data, _ in seen["logged"] for name in data if "directions" in name] == [
        "directions", "directions", "directions", "found directions",
    ]  # fmt: skip
    assert seen["run"].config["path_size"] == 5.0
    assert "held-out penalty/after" in seen["summary"]
    assert list(tmp_path.glob("wandb/offline-run-*"))


def test_a_tracker_that_is_not_installed_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="the tracker wandb needs a package: pip install wandb"):
        discover(generator(), out=tmp_path / "run", tracker=["tensorboard", "wandb"], **QUICK)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="did you mean 'tensorboard'"):
        discover(generator(), out=tmp_path / "run", tracker="tensorbord", **QUICK)


def test_a_search_says_what_it_will_do_and_how_long_it_takes(caplog, monkeypatch):
    monkeypatch.setattr(pace, "_SECONDS", 0.0)
    monkeypatch.setattr(pace, "_LONG_STEP", 0.0)
    monkeypatch.setattr(pace, "_LONG", 0.0)
    with caplog.at_level("INFO"):
        discover(generator(), judge=False, **{**QUICK, "quiet": False})
        discover(generator(), method="orojar", samples=3, judge=False)
    told = [each for each in caplog.messages if "pictures show" not in each]  # which is about the generator
    adam, left, cheaper, joint, latents, *_ = told
    assert re.search(
        r"hessian by adam, \d+ directions? in layers all, 6 steps of \d+ samples, cpu, float32, .* evaluations$", adam
    )
    assert re.fullmatch(r"about \d+ s for the remaining 5 steps", left)
    assert "cheaper: fewer --steps" in cheaper
    assert "orojar by joint-diagonalization" in joint
    assert "3 latents" in joint
    assert re.search(r"for the remaining 2 latents \(\d+ generator evaluations\)", latents)


def test_an_open_search_tells_the_most_it_can_take_and_how_its_rounds_do(caplog, monkeypatch):
    monkeypatch.setattr(pace, "_SECONDS", 0.0)
    monkeypatch.setattr(pace, "_LONG_STEP", 0.0)
    with caplog.at_level("INFO"):
        found = discover(generator(), method="orojar", evaluations=200, judge=False)
    rounds = found.metadata["rounds"]
    cost = found.metadata["generator_evaluations"] // rounds[-1]["latents"]
    most = 200 // cost
    told = "\n".join(caplog.messages)
    assert "as many latents as it takes, at most 200 generator evaluations" in told
    limit = rf"at most \d+ s, {most} latents \({cost * most} generator evaluations\)"
    assert re.search(rf"about \d+ s for the first 32 latents, then more as long as they help: {limit}$", told, re.M)
    assert len(rounds) > 1
    for each in rounds:
        assert f"{each['latents']} latents: off-diagonal {each['unseen']:.3g} ± " in told
    assert " than the round before" in told
