"""Generators as ONNX files, checked against torch."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_path, check_writable
from biggan_discovery.generators.base import FrozenGenerator

SUFFIX = ".onnx"
_OPSET = 18
_CHECKED = 4  # batches that are compared
_LARGEST_DIFFERENCE = 1e-3  # of pixels in [-1, 1]
_SEED = 0


class Exported(NamedTuple):
    """An ONNX file.

    Attributes:
        path: the file.
        inputs: names and shapes of its inputs.
        difference: largest difference of a pixel, in [-1, 1], between ONNX Runtime and torch.
    """

    path: Path
    inputs: dict[str, tuple[int, ...]]
    difference: float


class _Network(nn.Module):
    """Images of z and y, or of z alone if there are no classes."""

    def __init__(self, generator: FrozenGenerator):
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if y is None:
            y = torch.zeros(z.shape[0], dtype=torch.int64)
        # Without the checks of `begin`, which read the values of y.
        return self.generator._finish(*self.generator._begin(z, y))


def export_onnx(generator: FrozenGenerator, path: str | os.PathLike[str], *, batch: int = 1) -> Exported:
    """Write a generator as an ONNX file, and compare its images in ONNX Runtime with torch's.

    The inputs are "z", (batch, num_layers, z_dim) float32, or (batch, z_dim) if the network has one layer; and "y",
    class weights (batch, num_classes) float32, or class indices (batch,) int64 for networks that cannot mix classes;
    none for networks without classes. The output is "images", (batch, C, R, R). The truncation is part of the network,
    by its batch-norm statistics. The file's metadata has sizes, truncation, class names and the weights' sha256.

    Args:
        generator: the generator, on the CPU and in float32.
        path: file to write, must end in .onnx.
        batch: images that the file makes at once, exactly, 1 to 256.

    Raises:
        UserError: packages are missing, a network that ONNX has no operators for, or images that differ by more than
            0.001; no file is left.

    Example:
        >>> export_onnx(load_generator("scenes-64", device="cpu"), "scenes-64.onnx").difference < 1e-4
        True
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise UserError(f"cannot write {path}: the name of an ONNX file must end in {SUFFIX}")
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= 256:
        raise UserError(f"batch is {batch!r}; it should be an integer from 1 to 256")
    check_writable(path)
    _check_packages()
    if generator.device.type != "cpu" or generator.dtype != torch.float32:
        raise UserError(f"the generator is {generator.dtype} on {generator.device}; load it on the CPU in float32")
    inputs = _inputs(generator, batch, 0)
    with atomic_path(path) as temporary:
        program = _exported(generator, inputs)
        program.model.metadata_props.update(_about(generator))
        program.save(temporary)
        difference = _difference(generator, temporary, batch)
        if not difference <= _LARGEST_DIFFERENCE:
            raise UserError(
                f"ONNX Runtime's images of {generator.name} differ from torch's by up to {difference:.2g}; at most "
                f"{_LARGEST_DIFFERENCE:g} is taken for rounding"
            )
    return Exported(path, {name: tuple(each.shape) for name, each in inputs.items()}, difference)


def _inputs(generator: FrozenGenerator, batch: int, number: int) -> dict[str, Tensor]:
    """Inputs of the network: samples of the prior with different classes, and mixes of two where that is possible."""
    random = np.random.default_rng([_SEED, number])
    z = generator.latents(torch.from_numpy(random.uniform(1e-9, 1 - 1e-9, (batch, generator.z_dim))))
    if generator.num_layers > 1:
        z = z[:, None].repeat(1, generator.num_layers, 1)
    if generator.num_classes == 1:
        return {"z": z}
    labels = torch.from_numpy(random.integers(0, generator.num_classes, (2, batch)))
    if not generator.mixes_classes:
        return {"z": z, "y": labels[0]}
    one, other = nn.functional.one_hot(labels, generator.num_classes).to(z)
    return {"z": z, "y": 0.75 * one + 0.25 * other}


def _exported(generator: FrozenGenerator, inputs: dict[str, Tensor]) -> Any:
    with _quiet(), torch.no_grad():
        try:
            return torch.onnx.export(
                _Network(generator).eval(),
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=["images"],
                opset_version=_OPSET,
                external_data=False,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:
            raise UserError(f"{generator.name} cannot be written as ONNX: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """The first line of the error that was the cause of the others."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return re.sub(r"\x1b\[[0-9;]*m", "", line)[:300]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about itself."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _difference(generator: FrozenGenerator, path: Path, batch: int) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    largest = 0.0
    for number in range(_CHECKED):
        inputs = _inputs(generator, batch, number)
        y = inputs.get("y", torch.zeros(batch, dtype=torch.int64))
        with torch.no_grad():
            expected = generator(inputs["z"], y).numpy()
        [found] = session.run(None, {name: each.numpy() for name, each in inputs.items()})
        largest = max(largest, float(np.abs(np.asarray(found) - expected).max()))
    return largest


def _about(generator: FrozenGenerator) -> dict[str, str]:
    facts: dict[str, Any] = {
        "generator": Path(generator.name).name,
        "generator_sha256": generator.sha256,
        "z_dim": generator.z_dim,
        "num_layers": generator.num_layers,
        "resolution": generator.resolution,
        "truncation": generator.truncation,
        "class_names": list(generator.class_names),
        "prior": generator.prior,
    }
    return {"biggan_discovery": json.dumps(facts)}


def _check_packages() -> None:
    import importlib.util

    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"ONNX files need {' and '.join(missing)}; pip install onnx onnxscript onnxruntime")
