"""The spaces that directions may lie in. Needs no torch."""

from __future__ import annotations

from biggan_discovery.errors import UserError, near_matches

Z, CLASS, BOTH = "z", "class", "both"
SPACES = (Z, CLASS, BOTH)
"""Of latents, of class embeddings, and of the two together."""


def check_space(space: object) -> str:
    """A space by its name.

    Raises:
        UserError: another name.
    """
    if space not in SPACES:
        raise UserError(f"no space {space!r}{near_matches(str(space), SPACES)}; there are {', '.join(SPACES)}")
    return str(space)
