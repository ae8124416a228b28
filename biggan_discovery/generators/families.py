"""The families of generators. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from biggan_discovery.generators import biggan_deep_family, brock_family, user_module
from biggan_discovery.generators.family import Family

FAMILIES: tuple[Family, ...] = (
    brock_family.FAMILY,
    biggan_deep_family.FAMILY,
    user_module.FAMILY,
)
"""A path belongs to the first family that recognises it."""


def family_of(path: Path) -> Family | None:
    """The family that recognises a path, if any does."""
    return next((family for family in FAMILIES if family.recognises(path)), None)


def looked_for() -> str:
    """What the families look for, to complete the sentence "give ..."."""
    return ", or ".join(family.looks_for for family in FAMILIES)
