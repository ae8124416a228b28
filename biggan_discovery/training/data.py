"""Training images from a folder, an archive, an .npz file or a renderer, as squares of uint8 in memory."""

from __future__ import annotations

import hashlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.memory import check_room
from biggan_discovery.reading.pictures import size_of
from biggan_discovery.reading.source import NPZ, form_of
from biggan_discovery.training.arrays import read_arrays
from biggan_discovery.training.pictures import SUFFIXES, decode_all, resized
from biggan_discovery.training.rendered import RENDERED, classes_of, render
from biggan_discovery.training.settings import RESOLUTIONS
from biggan_discovery.training.trees import count_in, files_in, is_archive


@dataclass(frozen=True)
class Images:
    """Images with classes.

    Attributes:
        pixels: (N, R, R, 3) uint8.
        labels: (N,) int64.
        classes: names of the classes.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    @property
    def resolution(self) -> int:
        """R."""
        return self.pixels.shape[1]

    def sha256(self) -> str:
        """Of pixels, labels and classes."""
        digest = hashlib.sha256(repr((tuple(self.pixels.shape), self.classes)).encode())
        digest.update(self.labels.numpy().data)
        for part in self.pixels.split(1024):
            digest.update(part.numpy().data)
        return digest.hexdigest()


def read_images(data: str | os.PathLike[str], resolution: int | None = None, *, quiet: bool = False) -> Images:
    """Read training images.

    Args:
        data: a folder of images, a zip or tar of one, or an .npz file, see `read_arrays`. The class of an image is the
            folder that contains it.
        resolution: side of the images, to which the largest central square of each is resized. Defaults to the largest
            of `RESOLUTIONS` that does not enlarge the first image.
        quiet: show no progress.

    Raises:
        UserError: no such data, no images in it, a damaged or too large file, fewer than two images, or a class without
            any.
    """
    path = _existing(Path(data))
    read = _of_pictures if path.is_dir() or _is_archive_of_pictures(path) else _of_arrays
    pixels, labels, classes = read(path, resolution, quiet=quiet)
    if len(pixels) < 2:
        raise UserError(f"{path} has one image; training needs at least two")
    empty = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
    if len(empty):
        raise UserError(f"{path}: class {classes[empty[0]]} of 0 to {len(classes) - 1} has no images")
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels), classes)


def render_images(name: str, count: int, resolution: int, seed: int, folder: Path, *, quiet: bool = False) -> Images:
    """Render training images; see `render`."""
    classes = classes_of(name, resolution)
    pixels, labels = render(name, count, resolution, seed, folder, quiet=quiet)
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels), classes)


def _existing(path: Path) -> Path:
    try:
        path.stat()
    except FileNotFoundError as error:
        raise UserError(
            f"there is no {path}{near_matches(str(path), RENDERED)}; give a folder of images, a zip or tar of one, an "
            f".npz file with x and y, or one of {', '.join(RENDERED)}"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {os.fspath(path)!r}: {getattr(error, 'strerror', None) or error}") from error
    if not path.is_dir() and not path.is_file():
        raise UserError(f"{path} is a pipe or a device; give a folder or a file")
    return path


def _is_archive_of_pictures(path: Path) -> bool:
    """Whether a file is a zip or tar, but not an .npz file."""
    if not is_archive(path):
        return False
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
        try:
            return not zipped or form_of(file) != NPZ
        except UserError as error:
            raise UserError(f"{path}: {error}") from error


def _of_pictures(path: Path, resolution: int | None, *, quiet: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    files = files_in(path, SUFFIXES)
    first = next(files, None)
    if first is None:
        raise UserError(f"{path} has no images ({', '.join(SUFFIXES)})")
    resolution = resolution or _fitting(min(size_of(*first)))
    total = count_in(path, SUFFIXES)
    if total is not None:
        check_room(total * 3 * resolution**2, f"{total:,} images of {resolution} pixels", "lower --resolution")
    decoded = decode_all(itertools.chain([first], files), resolution, total, quiet=quiet)
    names = sorted(decoded)
    folders = [PurePosixPath(name).parent.name for name in names]
    if "" in folders and any(folders):
        raise UserError(
            f"{path} has images beside folders of images ({names[folders.index('')]}); put each into the folder of its "
            "class, or all into one"
        )
    classes = tuple(sorted(set(folders)))
    pixels = np.empty((len(names), resolution, resolution, 3), np.uint8)
    for place, each in zip(pixels, names, strict=True):
        place[:] = decoded.pop(each)
    return pixels, np.array([classes.index(each) for each in folders]), tuple(each or "image" for each in classes)


def _of_arrays(path: Path, resolution: int | None, *, quiet: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    images, labels = read_arrays(path)
    resolution = resolution or _fitting(min(images.shape[1:3]))
    if labels.min() < 0 or labels.max() >= len(labels):
        raise UserError(f"{path}: y has classes from {labels.min()} to {labels.max()}; they should count from 0")
    return resized(images, resolution, quiet=quiet), labels, tuple(map(str, range(labels.max() + 1)))


def _fitting(size: int) -> int:
    """The largest resolution that does not enlarge; the smallest if all do."""
    return max((each for each in RESOLUTIONS if each <= size), default=RESOLUTIONS[0])
