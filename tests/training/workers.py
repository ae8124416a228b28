"""Runs of `train` in processes of their own, which can be killed or share the work."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from biggan_discovery.runs import processes
from biggan_discovery.training import export, loop, run, train
from tests.processes import CONTEXT


def start(
    data: Path,
    out: Path,
    settings: Mapping[str, Any],
    *,
    environment: Mapping[str, str] | None = None,
    kill_at: int = 0,
    dump: Path | None = None,
) -> BaseProcess:
    """Start a run that saves after every step.

    Args:
        data: training images.
        out: folder of the run.
        settings: of `train`.
        environment: as torchrun sets it, to share the work.
        kill_at: the process kills itself in the middle of this step, counted from 1.
        dump: file for all tensors that the process holds in the end.
    """
    process = CONTEXT.Process(target=_work, args=(data, out, dict(settings), dict(environment or {}), kill_at, dump))
    process.start()
    return process


def _work(
    data: Path, out: Path, settings: dict[str, Any], environment: dict[str, str], kill_at: int, dump: Path | None
) -> None:
    torch.set_num_threads(1)
    os.environ.update(environment)
    export._BATCHES, export._BATCH, loop._MOST_PER_TICK = 2, 32, 1
    made: list[run.Networks] = []
    calls: list[int] = []
    draw, networks = loop.Batches.draw, run.Networks

    def drawn(batches: loop.Batches, seed: int) -> None:
        calls.append(seed)
        if len(calls) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        draw(batches, seed)

    def remembered(*arguments: Any) -> run.Networks:
        made.append(networks(*arguments))
        return made[-1]

    loop.Batches.draw, run.Networks = drawn, remembered
    with processes.joined() if environment else contextlib.nullcontext():
        train(data, out=out, save_every=1e-9, **settings)
    if dump is not None:
        torch.save(made[0].tensors(), dump)
