"""`--offline` and `--mirror` reach the download of every command that loads a generator, as arguments."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from biggan_discovery.cli import cli, run
from biggan_discovery.directions import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import catalogue

COMMANDS = {
    "discover": ["discover", "--generator", "biggan-deep-128"],
    "visualize": ["visualize", "a.safetensors"],
    "visualize --curved": ["visualize", "--curved", "--generator", "biggan-deep-128"],
    "edit": ["edit", "a.safetensors", "--set", "0=1"],
    "evaluate": ["evaluate", "a.safetensors"],
    "compare": ["compare", "a.safetensors", "b.safetensors"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"offline": None, "mirror": None}),
        (["--offline"], {"offline": True, "mirror": None}),
        (["--mirror", "http://127.0.0.1:9/x"], {"offline": None, "mirror": "http://127.0.0.1:9/x"}),
    ],
)
def test_they_arrive(
    command: str, options: list[str], expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIGGAN_DISCOVERY_OFFLINE", "0")
    monkeypatch.delenv("BIGGAN_DISCOVERY_MIRROR", raising=False)
    asked: list[dict[str, Any]] = []

    def fetch(*_: object, **download: Any) -> None:
        asked.append(download)
        assert os.environ["BIGGAN_DISCOVERY_OFFLINE"] == "0"
        assert "BIGGAN_DISCOVERY_MIRROR" not in os.environ
        raise UserError("nothing is downloaded in tests")

    monkeypatch.setattr(catalogue, "fetch", fetch)
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        found = Directions(torch.eye(3, 128), metadata={"generator": "biggan-deep-128"})
        found.save(f"{name}.safetensors")
    monkeypatch.setattr(sys, "argv", ["biggan-discovery", *COMMANDS[command], *options])
    with pytest.raises(SystemExit) as ended:
        run(cli, "biggan-discovery")
    assert ended.value.code == 2
    assert asked == [expected]
