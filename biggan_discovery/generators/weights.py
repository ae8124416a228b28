"""Weights from untrusted files: read without running code, and checked tensor by tensor."""

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
    """The content of a torch file (to be checked by `check_tensors`), and the file's sha256.

    Args:
        file: seekable, open at its start.
        origin: what messages call it.

    Raises:
        UserError: damaged, not a torch file, contains code, or holds something other than a dict.
    """
    sha256 = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    file.seek(0)
    try:
        with warnings.catch_warnings():
            # It warns about damaged files before it fails, and about newer pickles, which it reads.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # Broken files make torch.load fail in many ways.
        if isinstance(error, pickle.UnpicklingError) and re.search(
            "unsupported (global|class)", str(error), re.IGNORECASE
        ):
            raise UserError(f"{origin} contains more than tensors, and reading it could run code") from error
        raise UserError(f"{origin} is not a torch file, or is damaged; download it again") from error
    if not isinstance(state, dict):
        raise UserError(f"{origin} holds a {type(state).__name__}; it should hold a state dict, tensors by name")
    return state, sha256


def check_tensors(state: dict[str, Any], shapes: Mapping[str, tuple[int, ...]], origin: object, source: str) -> None:
    """Check that a file has exactly the tensors of a network, each of the right shape, floating point and finite.

    Args:
        state: content of the file.
        shapes: of every tensor of the network.
        origin: what messages call the file.
        source: where the shapes come from, such as "its config.json", for messages.

    Raises:
        UserError: naming the first few wrong tensors.
    """
    if missing := [key for key in shapes if key not in state]:
        raise UserError(f"{origin}: {_some(missing)} missing, but required by {source}")
    if unexpected := [str(key) for key in state if key not in shapes]:
        raise UserError(f"{origin} has tensors that do not belong to the network of {source}: {_some(unexpected)}")
    if other := [key for key, value in state.items() if not (isinstance(value, Tensor) and value.is_floating_point())]:
        raise UserError(f"{origin}: {_some(other)} should hold floating point numbers")
    if wrong := [key for key, value in state.items() if tuple(value.shape) != shapes[key]]:
        sizes = [f"{key} {tuple(state[key].shape)} instead of {shapes[key]}" for key in wrong]
        raise UserError(f"{origin} does not match {source}: {_some(sizes)}")
    if broken := [key for key, value in state.items() if not value.isfinite().all()]:
        raise UserError(f"{origin}: {_some(broken)} holds values that are not finite")


def _some(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
