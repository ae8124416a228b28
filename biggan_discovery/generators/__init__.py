"""Frozen generators: the interface of a network, its families, and how one is loaded.

The names below are imported when first used, so that listing generators and classes does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from biggan_discovery.generators.base import FrozenGenerator
    from biggan_discovery.generators.catalogue import load_generator
    from biggan_discovery.generators.classes import parse_classes
    from biggan_discovery.generators.function import FunctionGenerator
    from biggan_discovery.generators.onnx_file import export_onnx

_HOME = {
    "FrozenGenerator": "base",
    "FunctionGenerator": "function",
    "export_onnx": "onnx_file",
    "load_generator": "catalogue",
    "parse_classes": "classes",
}

__all__ = ["FrozenGenerator", "FunctionGenerator", "export_onnx", "load_generator", "parse_classes"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
