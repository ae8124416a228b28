"""The scenes by name."""

from __future__ import annotations

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.scenes import apart, overlap, render
from biggan_discovery.scenes.scene import Scene

# Search settings are chosen so that a search fits in the demo's time; the README has their results.
SCENES = {
    "room": Scene(
        "scenes-64",
        render.CLASSES,
        render.FACTORS,
        render.render,
        channel_width=32,
        settings={"steps": 400, "batch": 8, "lr": 0.1, "path_size": 5.0, "epsilon": 0.1, "probes": 4},
    ),
    "apart": Scene(
        "scenes-apart",
        apart.CLASSES,
        apart.FACTORS,
        apart.render,
        channel_width=16,
        settings={"steps": 400, "batch": 8, "lr": 0.1, "path_size": 5.0, "epsilon": 0.1, "probes": 4},
    ),
    "overlap": Scene(
        "scenes-overlap",
        overlap.CLASSES,
        overlap.FACTORS,
        overlap.render,
        channel_width=16,
        settings={"steps": 400, "batch": 8, "lr": 0.1, "path_size": 5.0, "epsilon": 0.1, "probes": 4},
    ),
}


def find_scene(name: str) -> Scene:
    """The scene with a name.

    Raises:
        UserError: for an unknown name, with near matches.
    """
    if name not in SCENES:
        raise UserError(f"unknown scene {name!r}{near_matches(name, SCENES)}; known: {', '.join(SCENES)}")
    return SCENES[name]


def scene_of(generator: FrozenGenerator) -> Scene:
    """The scene that a generator was fitted to, recognized by its factors.

    Raises:
        UserError: if it was not fitted to a scene.
    """
    for scene in SCENES.values():
        if generator.factor_names == scene.factors:
            return scene
    raise UserError(f"{generator.name} was not fitted to a scene, so there is nothing to render")
