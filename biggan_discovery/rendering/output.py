"""Writing frames to a file as they are generated."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from biggan_discovery.progress import Progress
from biggan_discovery.rendering.encode import open_writer


def write_frames(out: Path, frames: Iterable[np.ndarray], fps: float, progress: Progress) -> str:
    """Write frames (H, W, 3) uint8 to a film or still, one at a time.

    Args:
        out: the file, see `open_writer`.
        frames: one or more.
        fps: frames per second.
        progress: advanced by one for each frame.

    Returns:
        The file, the size of a frame, the length of a film and the size of the file, in words.

    Raises:
        UserError: as `open_writer`.
        OSError: encoding fails, for example on a full disk.
    """
    count, shape = 0, (0, 0)
    with open_writer(out, fps) as writer:
        for frame in frames:
            writer.add(frame)
            progress.advance()
            count, shape = count + 1, frame.shape
    length = f", {count} frames in {count / fps:.3g} s" if count > 1 else ""
    return f"{out} ({shape[1]} x {shape[0]} pixels{length}, {out.stat().st_size / 1e6:.3g} MB)"
