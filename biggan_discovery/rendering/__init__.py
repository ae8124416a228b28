"""Pictures: walks along directions, sheets with labels, and the files they are written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biggan_discovery.lazy import attach

if TYPE_CHECKING:
    from biggan_discovery.rendering.calibration import MeasuredEdit, calibrated
    from biggan_discovery.rendering.contact import contact_sheet
    from biggan_discovery.rendering.curved import CurvedFilm, curved_paths, leading_directions, lines_of
    from biggan_discovery.rendering.drawing import draw
    from biggan_discovery.rendering.editing import edit
    from biggan_discovery.rendering.encode import check_output, open_writer
    from biggan_discovery.rendering.film import Film
    from biggan_discovery.rendering.latent_files import load_latents, save_latents
    from biggan_discovery.rendering.latents import sample_classes, sample_latents
    from biggan_discovery.rendering.motion import (
        Edit,
        edit_shares,
        edited,
        loop_amounts,
        move,
        strip_amounts,
        traversal,
    )
    from biggan_discovery.rendering.path_size import equal_path_sizes, usual_change
    from biggan_discovery.rendering.ranges import range_of
    from biggan_discovery.rendering.settings import settings_of
    from biggan_discovery.rendering.sheet import Label, Sheet, to_uint8
    from biggan_discovery.rendering.stimuli import write_stimuli
    from biggan_discovery.rendering.walking import walk

_HOMES = {
    "CurvedFilm": "curved",
    "Edit": "motion",
    "Film": "film",
    "Label": "sheet",
    "MeasuredEdit": "calibration",
    "Sheet": "sheet",
    "calibrated": "calibration",
    "check_output": "encode",
    "contact_sheet": "contact",
    "curved_paths": "curved",
    "draw": "drawing",
    "edit": "editing",
    "edit_shares": "motion",
    "edited": "motion",
    "equal_path_sizes": "path_size",
    "leading_directions": "curved",
    "lines_of": "curved",
    "load_latents": "latent_files",
    "loop_amounts": "motion",
    "move": "motion",
    "open_writer": "encode",
    "range_of": "ranges",
    "sample_classes": "latents",
    "sample_latents": "latents",
    "save_latents": "latent_files",
    "settings_of": "settings",
    "strip_amounts": "motion",
    "to_uint8": "sheet",
    "traversal": "motion",
    "usual_change": "path_size",
    "walk": "walking",
    "write_stimuli": "stimuli",
}
__all__ = [
    "CurvedFilm",
    "Edit",
    "Film",
    "Label",
    "MeasuredEdit",
    "Sheet",
    "calibrated",
    "check_output",
    "contact_sheet",
    "curved_paths",
    "draw",
    "edit",
    "edit_shares",
    "edited",
    "equal_path_sizes",
    "leading_directions",
    "lines_of",
    "load_latents",
    "loop_amounts",
    "move",
    "open_writer",
    "range_of",
    "sample_classes",
    "sample_latents",
    "save_latents",
    "settings_of",
    "strip_amounts",
    "to_uint8",
    "traversal",
    "usual_change",
    "walk",
    "write_stimuli",
]
__getattr__ = attach(__name__, _HOMES)
