"""The Chromium for tests of the explorer: the system's, or Playwright's own.

`--install` gets one if there is none. `--install-system` does so with the system's packages only, which needs no other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_LONGEST = 600  # seconds of an installation


def chromium() -> str | None:
    """The path of a Chromium, or None; `CHROMIUM` names one."""
    named = os.environ.get("CHROMIUM")
    found = (shutil.which(name) for name in ([named] if named else _NAMES))
    return next(filter(None, found), None) or _of_playwright()


def _of_playwright() -> str | None:
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    shells = ("*/chrome-linux*/headless_shell", "*/chrome-headless-shell-linux*/chrome-headless-shell")
    return next((str(path) for pattern in shells for path in sorted(folder.glob(f"chromium{pattern}"))), None)


def _install(system_only: bool) -> None:
    """Try the system's packages, as root only, and then Playwright's own download."""
    apt = [["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", "chromium"]]
    own = [[sys.executable, "-m", "playwright", "install", "chromium-headless-shell"]]
    root = shutil.which("apt-get") and os.name == "posix" and os.geteuid() == 0
    for commands in [apt] * bool(root) + [own] * (not system_only):
        for command in commands:
            try:
                subprocess.run(
                    command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_LONGEST, check=False
                )
            except (OSError, subprocess.TimeoutExpired):
                continue
        if chromium():
            return


if __name__ == "__main__":
    system_only = "--install-system" in sys.argv
    if (system_only or "--install" in sys.argv) and chromium() is None:
        _install(system_only)
    if not system_only:
        print(chromium() or "no Chromium; tests of the explorer in a browser will be skipped")
