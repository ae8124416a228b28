"""`python -m benchmarks.invert`: how well photos are found again among a generator's images.

Prints a table. A generator's own images, rounded to 8 bits, should come back, with their latents; renders of the scene
that `scenes-64` was fitted to are near its images, but none of them; photos of --photos are not. The cosine is that of
normal coordinates of the latents; on `scenes-64` of those eight that images depend on.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from biggan_discovery import load_generator
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import class_of
from biggan_discovery.numerics.streams import random_numbers
from biggan_discovery.reading.pictures import read_square
from biggan_discovery.rendering import to_uint8
from biggan_discovery.scenes.table import scene_of
from biggan_discovery.search.inverting import Inversion, invert
from tests.generators.real_networks import FOLDER

SCENES, BUNDLED = "scenes-64", "cifar-32"
_STREAM = 2000


class Wanted(NamedTuple):
    """An image to find.

    Attributes:
        image: (3, R, R) in [-1, 1].
        label: its class; None if the generator has none for it.
        z: (1, z_dim) its latent, or (1, 8) its factors as normal coordinates; None for a photo.
    """

    image: Tensor
    label: int | None = None
    z: Tensor | None = None


@click.command()
@click.option("--images", type=POSITIVE_INT, default=4, show_default=True, help="Images of each kind and seed.")
@click.option("--seeds", type=POSITIVE_INT, default=1, show_default=True)
@click.option("--photos", type=click.Path(path_type=Path, exists=True), help="Folder of pictures to find too.")
def benchmark(images: int, seeds: int, photos: Path | None) -> None:
    """Find images again."""
    names = [SCENES, BUNDLED, *([str(FOLDER / "cifar32-biggan")] if (FOLDER / "cifar32-biggan").is_dir() else [])]
    click.echo("| generator | images | class | PSNR in dB | cosine | class right | length | seconds |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for name in names:
        generator = load_generator(name, device="cpu")
        kinds = {"its own": own(generator, images, seeds)}
        if name == SCENES:
            kinds["renders"] = renders(generator, images, seeds)
        if photos is not None:
            kinds["photos"] = list(pictures(photos, generator.resolution, images))
        for kind, wanted in kinds.items():
            for given in (True, False):
                if not given or wanted[0].label is not None:
                    click.echo(row(generator, kind, wanted, given=given))


def own(generator: FrozenGenerator, count: int, seeds: int) -> list[Wanted]:
    """Samples of the prior, their images rounded to 8 bits; classes in turn."""
    found = []
    for seed in range(seeds):
        uniform = torch.from_numpy(random_numbers(seed, _STREAM).random((count, generator.latent_size)))
        z, y = generator.latents(uniform), torch.arange(count) % generator.num_classes
        with torch.no_grad():
            levels = to_uint8(generator(z, y))
        found += [Wanted(_colours(each), int(y[i]), z[[i]]) for i, each in enumerate(levels)]
    return found


def renders(generator: FrozenGenerator, count: int, seeds: int) -> list[Wanted]:
    """Renders of random factors of the scene."""
    found = []
    for seed in range(seeds):
        u = torch.from_numpy(random_numbers(seed, _STREAM + 1).standard_normal((count, 8)))
        y = torch.arange(count) % generator.num_classes
        levels = to_uint8(scene_of(generator).images(u.float(), y))
        found += [Wanted(_colours(each), int(y[i]), u[[i]]) for i, each in enumerate(levels)]
    return found


def pictures(folder: Path, resolution: int, count: int) -> Iterator[Wanted]:
    """The first pictures of a folder."""
    for path in sorted(folder.iterdir())[:count]:
        yield Wanted(_colours(read_square(path, resolution)[0]))


def row(generator: FrozenGenerator, kind: str, wanted: Sequence[Wanted], *, given: bool) -> str:
    """A line of the table."""
    begun = time.process_time()
    found = [invert(generator, each.image, classes=each.label if given else None, quiet=True) for each in wanted]
    seconds = (time.process_time() - begun) / len(found)
    psnr = [each.psnr for each in found]
    cosines = [cosine(generator, one, each.z) for one, each in zip(found, wanted, strict=True) if each.z is not None]
    right = [class_of(one.y[0]) == each.label for one, each in zip(found, wanted, strict=True)]
    known = not given and wanted[0].label is not None
    cells = [
        Path(generator.name).name,
        f"{len(found)} {kind}",
        "given" if given else "found",
        spread(psnr, 1),
        spread(cosines, 3) if cosines else "",
        f"{sum(right)} of {len(right)}" if known else "",
        spread([each.length for each in found], 2),
        f"{seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def cosine(generator: FrozenGenerator, found: Inversion, z: Tensor) -> float:
    """Cosine between latents, within the true directions where they are known."""
    true = generator.true_directions
    one, other = found.z, z.float()
    if true is not None:
        one, other = one @ true.T, other @ true.T if other.shape[1] == true.shape[1] else other
    return abs(cosine_similarity(one, other).item())


def spread(values: Sequence[float], digits: int) -> str:
    """Median, and the range."""
    low, high = (f"{each:.{digits}f}" for each in (min(values), max(values)))
    return f"{statistics.median(values):.{digits}f} ({low} to {high})"


def _colours(levels: np.ndarray) -> Tensor:
    return torch.tensor(levels).permute(2, 0, 1).float() / 127.5 - 1


if __name__ == "__main__":
    run(benchmark)
