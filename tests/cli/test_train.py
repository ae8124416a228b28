from __future__ import annotations

import logging
import signal
from pathlib import Path

import numpy as np
import pytest

from biggan_discovery.cli import cli, run
from biggan_discovery.training import export, loop
from tests.training.shapes import draw_shapes

OPTIONS = "--width 2 --z-dim 8 --shared-dim 4 --batch 4 --d-steps 1 --device cpu --steps 3"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run `train` on a few images; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("_BATCHES", 1), ("_BATCH", 8)):
        monkeypatch.setattr(export, name, value)
    monkeypatch.setattr(loop, "_MOST_PER_TICK", 1)
    x, y = draw_shapes(16)
    np.savez("shapes.npz", x=x, y=y)

    def call(*more: str) -> tuple[int, str, str]:
        monkeypatch.setattr(
            "sys.argv", ["biggan-discovery", "train", "shapes.npz", "--out", "run", *OPTIONS.split(), *more]
        )
        with pytest.raises(SystemExit) as ended:
            run(cli, "biggan-discovery")
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def test_it_says_what_it_does_and_where_to_go_on(command, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = loop.Batches.draw
    with monkeypatch.context() as patched:
        patched.setattr(
            loop.Batches, "draw", lambda *arguments: (signal.raise_signal(signal.SIGTERM), draw(*arguments))
        )
        code, out, err = command()
    assert (code, out) == (143, "")
    first, *_, last = err.splitlines()
    assert first.startswith("shapes.npz: 16 images of 32 px in 4 classes; G of 0.0")
    assert "; 3 steps of 4 images with 1 step of D each; cpu, " in first
    assert last == "stopped; the run is saved in run, run the same command again to resume"

    code, out, err = command()
    assert (code, out) == (0, "saved run; find directions with: biggan-discovery discover --generator run\n")
    assert "resumed at step 1" in err
    assert "training: 3/3, loss_d " in err
    code, out, err = command("--quiet")
    assert (code, err) == (0, "")
    assert out.startswith("already finished: run;")
    assert logging.getLogger("biggan_discovery").level == logging.NOTSET
