"""Images and labels from an .npz file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from biggan_discovery.errors import UserError
from biggan_discovery.memory import check_room
from biggan_discovery.reading.arrays import load_npy
from biggan_discovery.reading.source import DAMAGED_ZIP

_IMAGES = ("x", "images", "x_train", "train_images", "arr_0")
_LABELS = ("y", "labels", "y_train", "train_labels", "arr_1")
_MOST = 2**36


def read_arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, 3) uint8 and labels (N,) int64 of an .npz file; labels are 0 if it has none.

    The images are the array "x", (N, H, W, 3), (N, 3, H, W), or grey (N, H, W) or with one channel, of whole numbers
    from 0 to 255; the labels are "y", (N,) or (N, 1).

    Raises:
        UserError: damaged, too large for memory, or arrays of other shapes or values.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
            images = _read(archive, members, _IMAGES, path)
            labels = _read(archive, members, _LABELS, path)
    except UserError as error:
        raise UserError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    except DAMAGED_ZIP as error:
        raise UserError(f"{path} is a damaged .npz file") from error
    if images is None:
        raise UserError(f"{path} has no array x of images; it has {', '.join(list(members)[:4]) or 'nothing'}")
    pixels = _pixels(images, path)
    if labels is None:
        return pixels, np.zeros(len(pixels), np.int64)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != pixels.shape[:1] or labels.dtype.kind not in "iu":
        raise UserError(
            f"{path}: y is {labels.dtype} {labels.shape}; it should be the classes of the {len(pixels):,} images as "
            "integers"
        )
    return pixels, labels.astype(np.int64)


def _read(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], names: tuple[str, ...], path: Path
) -> np.ndarray | None:
    found = next((members[name] for name in names if name in members), None)
    if found is None:
        return None
    check_room(2 * found.file_size, f"the arrays of {path}", "give a folder or an archive of images")
    with archive.open(found) as file:
        return load_npy(file, found.file_size, _MOST)


def _pixels(images: np.ndarray, path: Path) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[-1] not in (1, 3) and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise UserError(f"{path}: x has shape {images.shape}; it should be (N, H, W, 3), (N, 3, H, W) or (N, H, W)")
    if images.dtype != np.uint8:
        if images.dtype.kind not in "iu" or images.min() < 0 or images.max() > 255:
            raise UserError(f"{path}: x is {images.dtype}; it should be uint8, whole numbers from 0 to 255")
        images = images.astype(np.uint8)
    return np.require(np.broadcast_to(images, (*images.shape[:3], 3)), requirements=("C", "W"))
