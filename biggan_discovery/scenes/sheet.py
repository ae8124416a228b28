"""A picture of renders above generated images, for visual comparison."""

from __future__ import annotations

from pathlib import Path

import torch

from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.rendering import Label, Sheet, open_writer, sample_latents, to_uint8
from biggan_discovery.scenes.table import scene_of


@torch.no_grad()
def draw_sheet(generator: FrozenGenerator, path: Path, *, columns: int, seed: int) -> None:
    """Write a PNG: for each class, a row of renders above a row of the generator's images of the same latents.

    Raises:
        UserError: if the generator was not fitted to a scene.
    """
    scene = scene_of(generator)
    assert generator.true_directions is not None
    z = sample_latents(generator, columns * len(scene.classes), seed)
    y = torch.arange(len(scene.classes)).repeat_interleave(columns)
    rendered = to_uint8(scene.images(z.cpu().float() @ generator.true_directions.T, y))
    generated = to_uint8(generator(z, y.to(z.device)))
    labels = [Label(name=name) for name in scene.classes]
    sheet = Sheet(labels, tile=generator.resolution, rows=2, columns=columns, across=1)
    rows = [slice(index * columns, (index + 1) * columns) for index in range(len(scene.classes))]
    tiles = [tile for row in rows for tile in (*rendered[row], *generated[row])]
    with open_writer(path, 1) as writer:
        writer.add(sheet.draw(tiles))
