"""Adversarial training of BigGANs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biggan_discovery.lazy import attach

if TYPE_CHECKING:
    from biggan_discovery.training.run import train

__all__ = ["train"]
__getattr__ = attach(__name__, {"train": "run"})
