"""Weights from files that nobody vouches for: read without running code, and checked tensor by tensor."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from typing import IO, Any, cast

import torch
from torch import Tensor

from biggan_discovery.errors import UserError

_SHOWN = 3  # How many wrong tensors an error names.


def read_tensors(file: IO[bytes], origin: object) -> tuple[dict[str, Any], str]:
    """What a torch file holds (to be checked by `check_tensors`), and the file's sha256.

    Args:
        file: open at its start, able to seek.
        origin: what messages call it.

    Raises:
        UserError: damaged, no torch file, carries code, or holds something else than a dict.
    """
    sha256 = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    file.seek(0)
    try:
        with warnings.catch_warnings():
            # Damaged files and newer pickles make it warn before it fails or works, respectively.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # Broken files make torch.load fail in any way that there is.
        if isinstance(error, pickle.UnpicklingError) and re.search(
            "unsupported (global|class)", str(error), re.IGNORECASE
        ):
            raise UserError(f"{origin} holds more than tensors and is refused, as reading it could run code") from error
        raise UserError(f"{origin} is no torch file or is damaged; download it again") from error
    if not isinstance(state, dict):
        raise UserError(f"{origin} holds a {type(state).__name__}; it should hold a state dict, tensors by name")
    return state, sha256


def check_tensors(state: dict[str, Any], shapes: Mapping[str, tuple[int, ...]], origin: object, source: str) -> None:
    """Every tensor of a network has to be there, no other, each of the right shape, floating and finite.

    Args:
        state: what a file holds.
        shapes: of every tensor of the network.
        origin: what messages call the file.
        source: what messages give as the reason for the shapes, such as "its config.json".

    Raises:
        UserError: naming the first few wrong tensors.
    """
    if missing := [key for key in shapes if key not in state]:
        raise UserError(f"{origin} lacks {_some(missing)}, needed according to {source}")
    if unexpected := [str(key) for key in state if key not in shapes]:
        raise UserError(f"{origin} has {_some(unexpected)}, for which there is no place according to {source}")
    if other := [key for key, value in state.items() if not (isinstance(value, Tensor) and value.is_floating_point())]:
        raise UserError(f"{origin}: {_some(other)} should hold floating point numbers")
    if wrong := [key for key, value in state.items() if tuple(value.shape) != shapes[key]]:
        sizes = [f"{key} {tuple(state[key].shape)} instead of {shapes[key]}" for key in wrong]
        raise UserError(f"{origin} and {source} do not fit: {_some(sizes)}")
    if broken := [key for key, value in state.items() if not value.isfinite().all()]:
        raise UserError(f"{origin}: {_some(broken)} holds values that are not finite")


def _some(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
