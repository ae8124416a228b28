"""Running commands in the process of the tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from biggan_discovery.cli import cli, run


class Console:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        """Run the program in this process; return stdout on success, stderr otherwise."""
        self._monkeypatch.setattr(sys, "argv", ["biggan-discovery", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run(cli, "biggan-discovery")
        printed = self._capsys.readouterr()
        assert (ended.value.code or 0) == code, printed.err
        if code:
            assert printed.out == ""
            *classes, error = printed.err.splitlines(keepends=True)  # The classes that were chosen by name.
            assert all(line.startswith("class") for line in classes)
            assert error.startswith("error: ")
            return error
        # The classes that were chosen by name, and how far an import turned directions.
        assert all(line.startswith("class") or "rows were turned" in line for line in printed.err.splitlines())
        return printed.out
