"""The files that pictures are written to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biggan_discovery.errors import UserError
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.encode import WRITERS, check_output, open_writer
from biggan_discovery.rendering.settings import settings_text
from biggan_discovery.rendering.table import FILM, FRAMES, STILL, Limits


@dataclass(frozen=True)
class Target:
    """Where a picture goes: a file, a folder of frames, or a folder with either for each direction.

    Attributes:
        out: the file or folder.
        form: the format; see `table.FORMATS`.
        per_direction: `out` is a folder with a picture for each direction.
    """

    out: Path
    form: str
    per_direction: bool = False

    @classmethod
    def of(cls, out: str | os.PathLike[str], form: str | None, per_direction: bool = False) -> Target:
        """The target of `draw` and `edit` arguments.

        Raises:
            UserError: if the format is not that of `out`.
        """
        out = Path(out)
        suffix = out.suffix.lower()
        if form and form != FRAMES and not per_direction and suffix != f".{form}":
            raise UserError(f"{out} is not a .{form} file, which is the format asked for; leave one of them out")
        if form == FRAMES and not per_direction and suffix in (".gif", ".mp4", ".webp", STILL):
            raise UserError(f"frames go to a folder; {out} has the name of a {suffix} file")
        return cls(out, form or (FILM if per_direction else suffix.removeprefix(".")), per_direction)

    @property
    def still(self) -> bool:
        """Whether it holds one picture instead of a film."""
        return f".{self.form}" == STILL

    @property
    def limits(self) -> Limits:
        """What its format takes; frames of a folder are PNG files."""
        return WRITERS[STILL if self.form == FRAMES else f".{self.form}"].limits

    def file(self, row: int = 0, name: str = "") -> Path:
        """The file of a direction, or of all of them."""
        if not self.per_direction:
            return self.out
        return self.out / f"{row:03d}{_slug(name)}{'' if self.form == FRAMES else f'.{self.form}'}"

    def check(self, fps: float) -> None:
        """Raise what writing would raise about the target, before anything is loaded.

        Raises:
            UserError: see `check_output`.
        """
        check_output(self.file(), fps, self.form)

    def write(
        self,
        frames: Iterable[np.ndarray],
        fps: float,
        progress: Progress | None,
        settings: Mapping[str, Any],
        *,
        row: int = 0,
        name: str = "",
    ) -> str:
        """Write frames (H, W, 3) uint8, one at a time.

        Args:
            frames: one or more.
            fps: frames per second.
            progress: advanced by one for each frame.
            settings: kept in the file, see `settings_of`.
            row: the direction, for one file for each.
            name: its name.

        Returns:
            The file, the size of a frame, the length of a film, the size of the file, and whether it replaced another
            one, in words.

        Raises:
            UserError: as `open_writer`.
            OSError: encoding fails, for example on a full disk.
        """
        out, count, height, width = self.file(row, name), 0, 0, 0
        replaced = out.exists() and (out.is_file() or any(out.iterdir()))
        with open_writer(out, fps, form=self.form, note=settings_text(settings)) as writer:
            for frame in frames:
                writer.add(frame)
                if progress is not None:
                    progress.advance()
                count += 1
                height, width = (side + side % 2 if writer.even else side for side in frame.shape[:2])
        files = list(out.iterdir()) if self.form == FRAMES else [out]
        size = sum(file.stat().st_size for file in files) / 1e6
        if self.form == FRAMES:
            length = f", {count} frames"
        else:
            length = f", {count} frames in {count / fps:.3g} s" if count > 1 else ""
        text = f"{out} ({width} x {height} pixels{length}, {size:.3g} MB)"
        return f"{text}, replacing an older one" if replaced else text


def _slug(name: str) -> str:
    words = re.sub(r"[^\w]+", "-", name).strip("-")[:60]
    return f"-{words}" if words else ""
