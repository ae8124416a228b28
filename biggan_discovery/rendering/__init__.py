"""Pictures: walks along directions, sheets with labels, and the files they are written to."""

from biggan_discovery.rendering.curved import CurvedFilm, curved_paths, leading_directions, lines_of
from biggan_discovery.rendering.encode import check_output, open_writer
from biggan_discovery.rendering.film import Film
from biggan_discovery.rendering.latents import load_latents, sample_classes, sample_latents, save_latents
from biggan_discovery.rendering.sheet import Label, Sheet, to_uint8
from biggan_discovery.rendering.traversal import Edit, edit_shares, edited, loop_amounts, move, strip_amounts, traversal

__all__ = [
    "CurvedFilm",
    "Edit",
    "Film",
    "Label",
    "Sheet",
    "check_output",
    "curved_paths",
    "edit_shares",
    "edited",
    "leading_directions",
    "lines_of",
    "load_latents",
    "loop_amounts",
    "move",
    "open_writer",
    "sample_classes",
    "sample_latents",
    "save_latents",
    "strip_amounts",
    "to_uint8",
    "traversal",
]
