"""Weights from untrusted files: read without running code, and checked tensor by tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import IO, Any, cast

import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.reading.content import Content, of_network, read_content, shown
from biggan_discovery.reading.limits import MOST_WEIGHTS
from biggan_discovery.reading.source import TEXT, Place, form_of, open_place


def read_weights(place: Place, marks: Sequence[str]) -> tuple[dict[str, Tensor], str]:
    """The tensors of a network in a file (to be checked by `check_tensors`), and the file's sha256.

    Args:
        place: a file of any form that `read_content` reads.
        marks: names of tensors by which the network is known, under whatever roof; see `of_network`.

    Raises:
        UserError: unreadable, damaged, contains code, or none of the tensors are there.
    """
    with open_place(place) as file:
        content, sha256 = read_tensors(file, place)
    try:
        roof, state = of_network(content, marks)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
    missing = [mark for mark in marks if mark not in state]
    if missing:
        under = f" under {roof!r}" if roof else ""
        raise UserError(
            f"{place}: {missing[0]} is missing{under}; it should hold the state dict of a generator; it holds "
            f"{content.seen()}"
        )
    return state, sha256


def read_tensors(file: IO[bytes], origin: object) -> tuple[Content, str]:
    """The tensors in a file, by the dicts that hold them, and the file's sha256.

    Args:
        file: seekable, open at its start.
        origin: what messages call it.

    Raises:
        UserError: damaged, of no known form, contains code, or holds something other than a dict.
    """
    sha256 = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    try:
        if form_of(file) == TEXT:
            raise UserError("it is text, or of no known form")
        content = read_content(file, MOST_WEIGHTS)
    except UserError as error:
        raise UserError(f"{origin} is not a file of weights, or is damaged: {error}") from error
    if any("" in group.tensors for group in content.groups) or content.kind not in ("dict", "OrderedDict"):
        raise UserError(f"{origin} holds a {content.kind}; it should hold a state dict, tensors by name")
    return content, sha256


def check_tensors(
    state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], origin: object, source: str
) -> dict[str, Tensor]:
    """The tensors of a network, if a file has all of them, each of the right shape, floating point and finite.

    Scalars that do not belong to the network, such as counters and scores, are left out.

    Args:
        state: tensors of the file.
        shapes: of every tensor of the network.
        origin: what messages call the file.
        source: where the shapes come from, such as "its config.json", for messages.

    Raises:
        UserError: naming the first few wrong tensors.
    """
    if missing := [key for key in shapes if key not in state]:
        raise UserError(f"{origin}: {shown(missing)} missing, but required by {source}; it has {shown(list(state))}")
    if unexpected := [key for key, value in state.items() if key not in shapes and value.ndim]:
        raise UserError(f"{origin} has tensors that do not belong to the network of {source}: {shown(unexpected)}")
    state = {key: state[key] for key in shapes}
    if other := [key for key, value in state.items() if not value.is_floating_point()]:
        raise UserError(f"{origin}: {shown(other)} should hold floating point numbers")
    if wrong := [key for key, value in state.items() if tuple(value.shape) != shapes[key]]:
        sizes = [f"{key} {tuple(state[key].shape)} instead of {shapes[key]}" for key in wrong]
        raise UserError(f"{origin} does not match {source}: {shown(sizes)}")
    if expanded := [key for key, value in state.items() if _bytes(value) > value.untyped_storage().nbytes()]:
        raise UserError(f"{origin}: {shown(expanded)} claims more numbers than the file has")
    if sum(value.numel() for value in state.values()) > MOST_WEIGHTS:
        raise UserError(f"{origin} is a network of more than {MOST_WEIGHTS:,} numbers, which is the most that is read")
    if broken := [key for key, value in state.items() if not value.isfinite().all()]:
        half = any(state[key].dtype == torch.float16 for key in broken)
        overflow = "; numbers above 65,504 overflow in float16, so convert the weights from float32 again" * half
        raise UserError(f"{origin}: {shown(broken)} holds values that are not finite{overflow}")
    return state


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
