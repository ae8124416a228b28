"""User errors: one line that names the mistake, exit code 2, and an unchanged disk."""

from __future__ import annotations

import functools
import json
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import safetensors.torch
import torch

from biggan_discovery import Directions, discover
from biggan_discovery.cli import cli, run
from biggan_discovery.evaluation import held_out_penalty
from biggan_discovery.search import discovery
from tests.processes import Command, Ended
from tests.tiny import save_tiny_biggan

CLONE = Path(__file__).parents[1]
HUGE = "1" + "0" * 400
RUN = {"steps": 2, "batch": 2, "quiet": True}  # of the finished run in the folder "run"
SAME_RUN = "discover --steps 2 --batch 2"


class Evil:
    """Unpickling this creates a file named pwned."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, ("pwned",)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the default generator of all commands, and many files with one defect each."""
    world = tmp_path_factory.mktemp("world")
    tiny = save_tiny_biggan(world / "checkpoints" / "scenes-64")
    (world / "folder").mkdir()
    (world / "folder.gif").mkdir()
    (world / "folder.npy").mkdir()
    _broken_generators(world, tiny)
    _broken_directions(world, tiny)
    _broken_matrices(world)
    _broken_runs(world, tiny)
    return world


def _broken_generators(world: Path, tiny: Path) -> None:
    weights = (tiny / "pytorch_model.bin").read_bytes()
    state = torch.load(tiny / "pytorch_model.bin", weights_only=True)
    config = json.loads((tiny / "config.json").read_text())

    def broken(name: str, *, remove: str = "", **files: bytes | str | dict) -> Path:
        folder = shutil.copytree(tiny, world / name)
        for file, content in files.items():
            path = folder / {"weights": "pytorch_model.bin"}.get(file, f"{file}.json")
            if isinstance(content, dict) and file == "weights":
                torch.save(content, path)
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content if isinstance(content, str) else json.dumps(content))
        if remove:
            (folder / remove).unlink()
        return folder

    broken("weights-cut", weights=weights[: len(weights) // 2])
    broken("weights-empty", weights=b"")
    broken("weights-text", weights="once upon a time")
    broken("weights-code", weights={**state, "extra": Evil()})
    broken("weights-old-code", weights=pickle.dumps({**state, "extra": Evil()}, protocol=4))
    broken("weights-lacking", weights={key: state[key] for key in list(state)[1:]})
    broken("weights-more", weights={**state, "generator.surplus": torch.zeros(1)})
    broken("weights-nan", weights={**state, "embeddings.weight": state["embeddings.weight"] * float("nan")})
    (broken("weights-folder", remove="pytorch_model.bin") / "pytorch_model.bin").mkdir()
    broken("weights-gone", remove="pytorch_model.bin")
    (broken("weights-safe", remove="pytorch_model.bin") / "model.safetensors").write_bytes(b"\xff" * 64)
    broken("config-text", config="{")
    broken("config-list", config="[]")
    broken("config-binary", config=b"\xff\xfe\x00")
    broken("config-lacking", config={key: value for key, value in config.items() if key != "z_dim"})
    broken("config-other", config={**config, "z_dim": 20})
    broken("config-negative", config={**config, "channel_width": -8})
    broken("config-huge", config=json.dumps(config).replace("0.0001", HUGE))
    broken("config-large", config={**config, "z_dim": 10**9})
    broken("classes-few", classes='["cube"]')
    broken("settings-odd", discovery='{"stesp": 5}')
    broken("settings-huge", discovery=f'{{"lr": {HUGE}}}')
    save_tiny_biggan(world / "wide", z_dim=20, class_embed_dim=20)


def _broken_directions(world: Path, tiny: Path) -> None:
    A = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    good = Directions(A, metadata={"generator": "scenes-64", "names": ["hue", "", "camera height"]})
    good.save(world / "found.safetensors")
    content = (world / "found.safetensors").read_bytes()
    (world / "cut.safetensors").write_bytes(content[:-100])
    (world / "empty.safetensors").write_bytes(b"")
    (world / "noise.safetensors").write_bytes(np.random.default_rng(0).bytes(500))
    (world / "html.safetensors").write_text("<html>404 Not Found</html>")
    torch.save({"A": good.A, "Q": good.Q, "x": Evil()}, world / "code.safetensors")

    def save(name: str, header: object = good.metadata, **tensors: torch.Tensor) -> None:
        text = header if isinstance(header, str) else json.dumps(header)
        content = safetensors.torch.save({"A": good.A, "Q": good.Q, **tensors}, {"biggan_discovery": text})
        (world / f"{name}.safetensors").write_bytes(content)

    def changed(name: str, **metadata: Any) -> None:
        save(name, {**good.metadata, **metadata})

    safetensors.torch.save_file({"A": good.A, "Q": good.Q}, world / "bare.safetensors")
    save("garbled", "{")
    save("listed", [1])
    changed("future", format=99)
    changed("lost", generator="/nowhere/at/all")
    changed("coded", generator="gan.py:evil")
    code = "def evil():\n    import os; os.mkdir('pwned')\ndef unsized(z): return z[:, None, None]\n"
    (world / "gan.py").write_text(code + "if __name__ == '__main__': evil()\n")
    changed("numbered", generator=5)
    changed("foreign", classes=[17])
    changed("misnamed", names=["hue"])
    changed("unset", settings=None)
    changed("far", settings={"path_size": "far"})
    save("farther", json.dumps({**good.metadata, "settings": {"path_size": 7}}).replace("7}", f"{HUGE}}}"))
    changed("trunk", truncation="high")
    save("nan", A=good.A * float("nan"), Q=good.Q * float("nan"))
    save("skew", Q=good.Q + 0.1)
    save("shape", Q=good.Q[:2].contiguous())
    save("double", A=good.A.double(), Q=good.Q.double())
    Directions(torch.eye(20), metadata={"generator": str(tiny)}).save(world / "broad.safetensors")


def _broken_matrices(world: Path) -> None:
    matrix = np.eye(3, 16, dtype=np.float32)
    np.save(world / "fine.npy", matrix)
    np.save(world / "wide.npy", np.eye(3, 20))
    np.save(world / "flat.npy", np.ones(16))
    np.save(world / "deep.npy", np.ones((2, 3, 16)))
    np.save(world / "complex.npy", matrix * 1j)
    np.save(world / "none.npy", np.zeros((0, 16)))
    np.save(world / "zeros.npy", np.zeros((3, 16)))
    np.save(world / "tall.npy", np.random.default_rng(0).normal(size=(17, 16)))
    np.save(world / "nan.npy", matrix * np.nan)
    np.save(world / "large.npy", matrix.astype(np.float64) * 1e99)
    np.save(world / "code.npy", np.array([[Evil()]]), allow_pickle=True)
    np.savez(world / "two.npz", a=matrix, b=matrix)
    (world / "cut.npy").write_bytes((world / "fine.npy").read_bytes()[:90])
    (world / "cut.npz").write_bytes((world / "two.npz").read_bytes()[:90])
    (world / "empty.npy").write_bytes(b"")
    (world / "empty.csv").write_bytes(b"")
    (world / "empty.pt").write_bytes(b"")
    (world / "ragged.csv").write_text("1,2,3\n4,5\n")
    (world / "words.csv").write_text("1,2\n3,four\n")
    (world / "nan.csv").write_text("1,nan\n")
    (world / "binary.csv").write_bytes(b"\xff\xfe1,2")
    torch.save(Evil(), world / "code.pt")
    (world / "old-code.pt").write_bytes(pickle.dumps({"a": Evil()}, protocol=4))
    torch.save({"a": torch.eye(2), "b": torch.eye(3)}, world / "two.pt")
    (world / "text.txt").write_text("1,2\n")


def _broken_runs(world: Path, tiny: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIGGAN_DISCOVERY_CHECKPOINTS", str(tiny.parent))
        quick = functools.partial(held_out_penalty, samples=2)
        patch.setattr(discovery, "held_out_penalty", quick)
        discover("scenes-64", out=world / "run", **RUN)
    state = (world / "run" / "state.safetensors").read_bytes()
    with safetensors.safe_open(world / "run" / "state.safetensors", framework="pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def broken(name: str, content: bytes) -> None:
        (world / name).mkdir()
        (world / name / "state.safetensors").write_bytes(content)

    broken("run-cut", state[:-20])
    broken("run-empty", b"")
    broken("run-noise", np.random.default_rng(0).bytes(300))
    broken("run-list", safetensors.torch.save(tensors, {"biggan_discovery": "[]"}))
    broken("run-lacking", safetensors.torch.save({"A": tensors["A"]}, header))
    broken("run-shape", safetensors.torch.save({**tensors, "A": tensors["A"][:3].contiguous()}, header))
    broken("run-long", safetensors.torch.save({**tensors, "history": torch.zeros(9, 2, dtype=torch.float64)}, header))
    broken("run-nan", safetensors.torch.save({**tensors, "A": tensors["A"] * float("nan")}, header))
    finished = shutil.copytree(world / "run", world / "run-result-cut")
    (finished / "directions.safetensors").write_bytes(b"cut")


@pytest.fixture
def fails(world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Run a command, check that it fails as on bad input, and return the error line."""
    monkeypatch.chdir(world)
    monkeypatch.setenv("BIGGAN_DISCOVERY_CHECKPOINTS", str(world / "checkpoints"))
    monkeypatch.setenv("BIGGAN_DISCOVERY_OFFLINE", "1")

    def call(command: str) -> str:
        monkeypatch.setattr(sys, "argv", ["biggan-discovery", *shlex.split(command)])
        before = listing(world)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with pytest.raises(SystemExit) as ended:
                run(cli, "biggan-discovery")
        printed = capsys.readouterr()
        assert not warned, [str(warning.message) for warning in warned]
        check(ended.value.code, printed.out, printed.err)
        assert listing(world) == before
        return printed.err

    return call


def check(code: object, out: str, err: str) -> None:
    assert (code, out) == (2, ""), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert len(err) < 1000


def listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder except run locks, with attributes that change on replacement or writing."""
    paths = [path for path in folder.rglob("*") if path.name != ".lock"]
    stats = {str(path.relative_to(folder)): (path.lstat(), path.is_dir()) for path in paths}
    return {
        name: (stat.st_ino, 0, 0) if is_dir else (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        for name, (stat, is_dir) in stats.items()
    }


CASES = {
    # The command itself.
    "discovr": "did you mean 'discover'",
    "--versoin": "--versoin",
    "discover found.safetensors": "found.safetensors",
    # Classes.
    "discover --class pyramid": "'pyramid'",
    "discover --class tors,cube": "did you mean 'torus'",
    "discover --class c": "'c' could be cube (0), cylinder (2), cone (3)",
    "discover --class 5": "class 5 is out of range; the generator's classes are 0-4",
    "discover --class -1": "-1",
    "discover --class 3-1": "write 1-3",
    f"discover --class {HUGE}": "out of range",
    "discover --class cube,,cone": "is empty",
    "discover --class ''": "no class given",
    "visualize found.safetensors --class kegel": "'kegel'",
    "edit found.safetensors --set 0=1 --class 7": "class 7",
    "import fine.npy --out x.safetensors --class cone": "needs --generator",
    "import fine.npy --out x.safetensors --generator scenes-64 --class pyramid": "'pyramid'",
    "classes kube": "'kube'",
    "classes --generator scenes-64 cub cone": "cone",
    # Generators.
    "discover --generator scenes-46": "did you mean 'scenes-64'",
    "discover --generator nowhere/else": "'nowhere/else'",
    "discover --generator ''": "no generator given",
    "discover --generator найденный": "'найденный'",
    "discover --generator checkpoints/scenes-64/config.json": "config.json is not a generator; give",
    "discover --generator folder": "folder is not a generator; give",
    "discover --generator fine.npy": "fine.npy is not a generator",
    "discover --generator code.pt": "code.pt",
    "discover --generator ./weights-cut": "weights-cut/pytorch_model.bin is not a torch file, or is damaged",
    "discover --generator ./weights-empty": "weights-empty/pytorch_model.bin",
    "discover --generator ./weights-text": "weights-text/pytorch_model.bin",
    "discover --generator ./weights-code": "weights-code/pytorch_model.bin contains more than tensors",
    "discover --generator ./weights-old-code": "weights-old-code/pytorch_model.bin",
    "discover --generator ./weights-lacking": "missing",
    "discover --generator ./weights-more": "generator.surplus",
    "discover --generator ./weights-nan": "embeddings.weight",
    "discover --generator ./weights-folder": "weights-folder/pytorch_model.bin",
    "discover --generator ./weights-gone": "weights-gone/pytorch_model.bin",
    "discover --generator ./weights-safe": "weights-safe/model.safetensors",
    "discover --generator ./config-text": "config-text/config.json",
    "discover --generator ./config-list": "config-list/config.json",
    "discover --generator ./config-binary": "config-binary/config.json",
    "discover --generator ./config-lacking": "'z_dim' is missing",
    "discover --generator ./config-other": "does not match",
    "discover --generator ./config-negative": "-8",
    "discover --generator ./config-huge": "'eps'",
    "discover --generator ./config-large": "1000000000",
    "discover --generator ./classes-few": "1 names",
    "discover --generator ./settings-odd": "did you mean 'steps'",
    "discover --generator ./settings-huge": "'lr'",
    "discover --generator biggan-deep-128": "biggan-deep-128",
    "visualize found.safetensors --generator scenes-46": "did you mean 'scenes-64'",
    "visualize lost.safetensors": "lost.safetensors: no generator '/nowhere/at/all'",
    "visualize coded.safetensors": "coded.safetensors is for the generator gan.py:evil, which is Python code",
    "edit coded.safetensors --set 0=1": "give --generator gan.py:evil",
    "evaluate coded.safetensors": "give --generator gan.py:evil",
    "discover --generator gan.py:nothing": "gan.py has no 'nothing'",
    "discover --generator gone.py:G": "there is no file",
    "discover --generator gan.py": "gan.py is not a generator; give",
    "discover --generator gan.py:7": "my_gan.py:G",
    "discover --generator no.such.module:G": "no module 'no'",
    "classes --generator gan.py:unsized": "FunctionGenerator(unsized, z_dim=...)",
    "visualize numbered.safetensors": "'5'",
    "import fine.npy --out x.safetensors --generator wide": "16",
    "import fine.npy --out x.safetensors --generator ./weights-cut": "weights-cut",
    "classes --generator scenes": "'scenes'",
    "classes --generator ./classes-few": "classes-few/classes.json",
    "generators scenes-64": "scenes-64",
    "generators --lang": "--lang",
    # Settings of a search.
    "discover --steps -1": "-1",
    "discover --steps 1.5": "'1.5'",
    f"discover --steps {HUGE}": "steps is 1000",
    "discover --batch 0": "'--batch': 0",
    "discover --batch 100000000000": "100000000000",
    "discover --probes 1": "'--probes': 1",
    "discover --probes 100000000000": "100000000000",
    "discover --lr nan": "nan",
    "discover --lr 1e999": "inf",
    "discover --lr fast": "'fast'",
    "discover --path-size -5": "-5",
    "discover --epsilon 1e-999": "'--epsilon': 0.0",
    "discover --directions 17": "17 directions",
    "discover --directions -3": "-3",
    "discover --method hesian": "did you mean 'hessian'",
    "discover --orthogonalize qrr": "'qrr'",
    "discover --truncation 0": "'--truncation'",
    "discover --truncation nan": "nan",
    "discover --seed -1": "-1",
    "discover --seed 99999999999999999999": "99999999999999999999",
    "discover --device abacus": "'abacus'",
    "discover --device cuda:77": "'cuda:77'",
    "discover --device ''": "''",
    "discover --save-every 0": "'--save-every'",
    "discover --stps 5": "--steps",
    "discover --steps": "--steps",
    "discover --init rundom": "did you mean 'random'",
    "discover --solver adm": "did you mean 'adam'",
    "discover --method sefa --solver adam": "sefa is computed without a solver",
    "discover --method jacobian --steps 5": "steps does nothing with jacobian, whose settings are samples",
    "discover --samples 0": "samples",
    "discover --sketches -1": "sketches",
    "discover --init joint-diagonalization --solver joint-diagonalization": "a start for the solver adam",
    "discover --init gone.safetensors": "gone.safetensors",
    "discover --init broad.safetensors": "20",
    "discover --init found.safetensors --directions 4": "should be at most 3, the number of directions in",
    "discover --init fine.npy": "fine.npy",
    "discover --init code.safetensors": "code.safetensors",
    # Folders of runs.
    "discover --out found.safetensors": "found.safetensors",
    "discover --out /dev/null/run": "/dev/null/run",
    "discover --out /proc/run": "/proc/run",
    "discover --out ''": "out is ''",
    "discover --out '' --class 0,1 --each": "out is ''",
    "discover --precision float33": "'float33' is not one of auto, float32",
    "discover --precision tf32 --device cpu": "does not support",
    "discover --micro-batch 0 --steps 1": "micro-batch",
    "discover --micro-batch few --steps 1": "micro-batch",
    "discover --method sefa --micro-batch 4": "micro_batch does nothing with sefa, which has no settings",
    "discover --steps 3 --batch 2 --out run": "steps 2, not 3",
    f"{SAME_RUN} --out run --class cone": "classes",
    f"{SAME_RUN} --out run-cut": "run-cut/state.safetensors is not a readable state",
    f"{SAME_RUN} --out run-empty": "run-empty/state.safetensors",
    f"{SAME_RUN} --out run-noise": "run-noise/state.safetensors",
    f"{SAME_RUN} --out run-list": "run-list/state.safetensors",
    f"{SAME_RUN} --out run-lacking": "run-lacking/state.safetensors",
    f"{SAME_RUN} --out run-shape": "run-shape/state.safetensors",
    f"{SAME_RUN} --out run-long": "run-long/state.safetensors",
    f"{SAME_RUN} --out run-nan": "run-nan/state.safetensors",
    f"{SAME_RUN} --out run-result-cut": "run-result-cut/directions.safetensors",
    # Directions files, through every command that reads them.
    "visualize": "DIRECTIONS",
    "visualize fund.safetensors": "did you mean 'found.safetensors'",
    "visualize nowhere/found.safetensors": "nowhere/found.safetensors",
    "visualize folder": "folder is a folder",
    "visualize ''": "folder",
    "visualize /dev/null": "/dev/null",
    "visualize empty.safetensors": "empty.safetensors",
    "visualize cut.safetensors": "cut.safetensors",
    "visualize noise.safetensors": "noise.safetensors",
    "visualize html.safetensors": "html.safetensors",
    "visualize code.safetensors": "code.safetensors",
    "visualize bare.safetensors": "bare.safetensors",
    "visualize garbled.safetensors": "not JSON",
    "visualize listed.safetensors": "no format version",
    "visualize future.safetensors": "99",
    "visualize foreign.safetensors": "foreign.safetensors has classes that",
    "visualize misnamed.safetensors": "3 texts",
    "visualize unset.safetensors": "settings must be a dict",
    "visualize far.safetensors": "'far'",
    "visualize farther.safetensors": "farther.safetensors",
    "visualize trunk.safetensors": "'high'",
    "visualize nan.safetensors": "nan",
    "visualize skew.safetensors": "not orthonormal",
    "visualize shape.safetensors": "(2, 16)",
    "visualize double.safetensors": "float64",
    "visualize broad.safetensors": "z_dim 20",
    "visualize fine.npy": "biggan-discovery import",
    "edit code.safetensors --set 0=1": "code.safetensors",
    "edit lost.safetensors --set 0=1": "/nowhere/at/all",
    "export cut.safetensors x.npy": "cut.safetensors",
    "export gone.safetensors x.npy": "gone.safetensors",
    "name noise.safetensors 0 hue": "noise.safetensors",
    # Pictures.
    "visualize found.safetensors --frames 0": "'--frames': 0",
    "visualize --generator scenes-64": "'DIRECTIONS'",
    "visualize --curved --generator scenes-46": "did you mean 'scenes-64'",
    "visualize --curved --only 16": "scenes-64 has 0 to 15",
    "visualize --curved --only 999999999": "no direction 999999999",
    "visualize --curved --layers 4-99": "4-99",
    "visualize --curved --path-size 251": "at most 250",
    "visualize --curved --path-size 1e30": "at most 250",
    "visualize --curved --class kegel": "'kegel'",
    "visualize --curved --samples 10000 --scale 32": "too large",
    "visualize --curved --transfer": "choose one",
    "visualize --curved --out folder.gif": "folder.gif: it is a folder",
    "visualize --curved found.safetensors --only 0,3": "no direction 3",
    "visualize --curved found.safetensors --path-size 1e30": "at most 250",
    "visualize found.safetensors --frames 3": "3 frames",
    "visualize found.safetensors --frames -4": "-4",
    f"visualize found.safetensors --frames {HUGE}": "'--frames'",
    "visualize found.safetensors --samples 0": "'--samples': 0",
    "visualize found.safetensors --samples 10000": "too large",
    "visualize found.safetensors --fps nan": "nan",
    "visualize found.safetensors --fps 1e9": "1e+09",
    "visualize found.safetensors --fps 0": "'--fps'",
    "visualize found.safetensors --path-size -1": "-1",
    "visualize found.safetensors --path-size 1e300": "1e+300",
    "visualize found.safetensors --only 0,3": "no direction 3",
    "visualize found.safetensors --only hue": "'hue'",
    "visualize found.safetensors --only 2-0": "write 0-2",
    "visualize found.safetensors --easing sinus": "did you mean 'sine'",
    "visualize found.safetensors --columns -1": "-1",
    "visualize found.safetensors --scale 999": "999",
    "visualize found.safetensors --format avi": "'avi'",
    "visualize found.safetensors --framse 8": "--frames",
    "visualize found.safetensors --out film.gfi": "did you mean '.gif'",
    "visualize found.safetensors --out film": "film",
    "visualize found.safetensors --out folder.gif": "folder.gif: it is a folder",
    "visualize found.safetensors --out /dev/null/x.gif": "/dev/null/x.gif",
    "visualize found.safetensors --out fine.npy/x.gif": "fine.npy/x.gif",
    "visualize found.safetensors --per-direction --out fine.npy": "fine.npy",
    "edit found.safetensors": "--set",
    "edit found.safetensors --set 3": "DIRECTION=AMOUNT",
    "edit found.safetensors --set =2": "DIRECTION=AMOUNT",
    "edit found.safetensors --set 3=2": "no direction 3",
    "edit found.safetensors --set -1=2": "-1",
    f"edit found.safetensors --set {HUGE}=2": "no direction",
    "edit found.safetensors --set 'camera hight=2'": "did you mean 'camera height'",
    "edit found.safetensors --set 0=far": "'far'",
    "edit found.safetensors --set 0=nan": "finite",
    "edit found.safetensors --set 0=1e300": "direction 0 is 1e+300",
    "edit found.safetensors --set 0=1 --set hue=2": "twice",
    "edit found.safetensors --set 0=1 --latents gone.npy": "gone.npy",
    "edit found.safetensors --set 0=1 --latents folder.npy": "folder.npy",
    "edit found.safetensors --set 0=1 --latents wide.npy": "(3, 20)",
    "edit found.safetensors --set 0=1 --latents code.npy": "code.npy",
    "edit found.safetensors --set 0=1 --latents two.npz": "two.npz",
    "edit found.safetensors --set 0=1 --latents cut.npy": "cut.npy",
    "edit found.safetensors --set 0=1 --latents empty.npy": "empty.npy",
    "edit found.safetensors --set 0=1 --latents nan.npy": "nan.npy",
    "edit found.safetensors --set 0=1 --latents none.npy": "(0, 16)",
    "edit found.safetensors --set 0=1 --latents fine.npy --samples 4": "holds 3",
    "edit found.safetensors --set 0=1 --save-latents z.txt": "'z.txt'",
    "edit found.safetensors --set 0=1 --save-latents z.npy --out /dev/null/x.gif": "/dev/null/x.gif",
    "edit found.safetensors --set 0=1 --save-latents /dev/null/z.npy --out x.png": "/dev/null/z.npy",
    "edit found.safetensors --set 0=1 --out e.bmp": "'.bmp'",
    "edit found.safetensors --set 0=1 --fps 100": "at most 50",
    # Matrices of other tools.
    "export found.safetensors": "OUT",
    "export found.safetensors x.txt": "x.txt",
    "export found.safetensors x.safetensors": "x.safetensors",
    "export found.safetensors folder.npy": "folder.npy: it is a folder",
    "export found.safetensors /dev/null/x.npy": "/dev/null/x.npy",
    "export found.safetensors /proc/x.npy": "/proc/x.npy",
    "import fine.npy": "--out",
    "import fine.npy --out x.npy": "x.npy",
    "import fine.npy --out folder": "folder",
    "import fine.npy --out fine.npy/x.safetensors": "fine.npy/x.safetensors",
    "import found.safetensors --out x.safetensors": "found.safetensors",
    "import fin.npy --out x.safetensors": "did you mean 'fine.npy'",
    "import folder.npy --out x.safetensors": "folder.npy is a folder",
    "import text.txt --out x.safetensors": "text.txt",
    "import code.pt --out x.safetensors": "code.pt: it is damaged, or contains Python objects",
    "import old-code.pt --out x.safetensors": "old-code.pt",
    "import code.npy --out x.safetensors": "code.npy",
    "import empty.pt --out x.safetensors": "empty.pt",
    "import empty.npy --out x.safetensors": "empty.npy",
    "import empty.csv --out x.safetensors": "empty.csv",
    "import cut.npy --out x.safetensors": "cut.npy",
    "import cut.npz --out x.safetensors": "cut.npz",
    "import two.npz --out x.safetensors": "a (3, 16), b (3, 16)",
    "import two.pt --out x.safetensors": "a (2, 2), b (3, 3)",
    "import flat.npy --out x.safetensors": "(16,)",
    "import deep.npy --out x.safetensors": "(2, 3, 16)",
    "import complex.npy --out x.safetensors": "complex64",
    "import none.npy --out x.safetensors": "(0, 16)",
    "import zeros.npy --out x.safetensors": "zeros.npy",
    "import tall.npy --out x.safetensors": "17",
    "import nan.npy --out x.safetensors": "nan.npy",
    "import large.npy --out x.safetensors": "large.npy",
    "import ragged.csv --out x.safetensors": "line 2 has 2 numbers",
    "import words.csv --out x.safetensors": "line 2, column 2 is 'four'",
    "import nan.csv --out x.safetensors": "nan.csv",
    "import binary.csv --out x.safetensors": "binary.csv",
    "import fine.npy --out x.safetensors --names a,b": "2 names for 3",
    "import fine.npy --out x.safetensors --names a,b,a": "'a'",
    "import fine.npy --out x.safetensors --names a,7,b": "'7'",
    "import fine.npy --out x.safetensors --orthogonalize lq": "'lq'",
    # Names.
    "name": "DIRECTIONS",
    "name found.safetensors 3 size": "no direction 3",
    "name found.safetensors hu 7": "'7'",
    "name found.safetensors 1 'camera height'": "already",
    "name found.safetensors 'camera hight'": "did you mean 'camera height'",
    "name found.safetensors 'цвет' x": "'цвет'",
    "name found.safetensors 1 'two\nlines'": "one line",
    "name found.safetensors 0 hue height": "height",
}


@pytest.mark.parametrize(("command", "said"), CASES.items(), ids=[command[:60] for command in CASES])
def test_bad_input_is_one_line(fails: Callable[[str], str], command: str, said: str) -> None:
    assert said in fails(command)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("discover.py --generator nowhere", "'nowhere'"),
        ("visualize.py fund.safetensors", "found.safetensors"),
        ("-m biggan_discovery import old-code.pt --out x.safetensors", "old-code.pt"),
        ("-m biggan_discovery clases", "did you mean 'classes'"),
    ],
)
def test_as_users_start_it(world: Path, command: str, said: str) -> None:
    before = listing(world)
    words = [str(CLONE / word) if word.endswith(".py") else word for word in command.split()]
    environment = {**os.environ, "PYTHONPATH": str(CLONE)}
    done = subprocess.run([sys.executable, *words], cwd=world, env=environment, capture_output=True, text=True)
    check(done.returncode, done.stdout, done.stderr)
    assert said in done.stderr
    assert listing(world) == before


def test_the_code_in_these_files_would_run_if_they_were_read_carelessly(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validates that the unchanged listing above proves that no code ran."""
    monkeypatch.chdir(tmp_path)
    torch.load(world / "code.pt", weights_only=False)
    (tmp_path / "pwned").rmdir()
    np.load(world / "code.npy", allow_pickle=True)
    (tmp_path / "pwned").rmdir()
    torch.load(world / "weights-code" / "pytorch_model.bin", weights_only=False)
    (tmp_path / "pwned").rmdir()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory; try a smaller --micro-batch or fewer samples"),
        (MemoryError("no room for it"), "no room for it"),
    ],
)
def test_out_of_memory_is_not_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: MemoryError, said: str
) -> None:
    @click.command()
    def hungry() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["hungry"])
    with pytest.raises(SystemExit) as ended:
        run(hungry)
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {said}\n"


def test_without_arguments_there_is_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["biggan-discovery"])
    with pytest.raises(SystemExit) as ended:
        run(cli, "biggan-discovery")
    assert ended.value.code == 2
    assert "\nCommands:\n" in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    """`biggan-discovery classes e | head -1`, where head exits first."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "biggan_discovery", "classes", "e"]
    with (tmp_path / "err").open("wb") as err:
        code = subprocess.run(command, cwd=CLONE, stdout=writing, stderr=err, check=False).returncode
    os.close(writing)
    assert code == 1
    assert (tmp_path / "err").read_bytes() == b""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_picture_that_is_stopped_leaves_nothing(world: Path, tmp_path: Path, number: int, code: int) -> None:
    shutil.copy(world / "found.safetensors", tmp_path)
    generator = ("--generator", world / "checkpoints" / "scenes-64")
    running = Command(tmp_path, "visualize", tmp_path / "found.safetensors", "--frames", "9999", *generator)
    end = time.monotonic() + 120
    while not any(path.stat().st_size for path in tmp_path.glob(".found-*")):
        assert time.monotonic() < end
        time.sleep(0.01)
    running.send(number)
    ended = running.wait()
    assert ended.code == code
    assert "Traceback" not in ended.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["err.txt", "found.safetensors", "out.txt"]


def test_file_names_that_are_not_utf8_are_kept(world: Path, tmp_path: Path) -> None:
    """File names of arbitrary bytes, as Linux allows, are printed and saved."""
    generator = tmp_path / os.fsdecode(b"g\xff")
    shutil.copytree(world / "checkpoints" / "scenes-64", generator)
    file, matrix = tmp_path / "found.safetensors", tmp_path / os.fsdecode(b"\xe9t\xe9.npy")
    imported = Command(tmp_path, "import", world / "fine.npy", "--generator", generator, "--out", file).wait()
    assert (imported.code, imported.err) == (0, "")
    assert Directions.load(file).metadata["generator"] == str(generator)
    exported = Command(tmp_path, "export", file, matrix).wait()
    assert exported == Ended(0, f"wrote {matrix}: Q, 3 directions × 16\n", "")
    assert np.array_equal(np.load(matrix), np.load(world / "fine.npy"))
