"""`python -m biggan_discovery.scenes`: make the bundled generator, and show how true it is."""

from __future__ import annotations

from pathlib import Path

import click

from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_FLOAT, POSITIVE_INT

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def scenes() -> None:
    """Make the bundled generator, and show how true it is to the scenes."""


@scenes.command("fit")
@click.option("--state", type=_FOLDER, default="runs/scenes-64", help="Folder for renders and the state to go on from.")
@click.option("--steps", type=POSITIVE_INT, default=14_000, help="Steps of Adam in all.")
@click.option("--renders", type=POSITIVE_INT, default=64_000, help="Scenes to render and fit to.")
@click.option("--batch", type=POSITIVE_INT, default=32, help="Images a step.")
@click.option("--lr", type=POSITIVE_FLOAT, default=2e-3, help="Highest learning rate.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of weights and scenes.")
@click.option("--save-every", type=POSITIVE_INT, default=250, help="Steps between saved states and reports.")
def fit_command(state: Path, **settings: int | float) -> None:
    """Fit the network; started again, it goes on where it stopped. About two hours on 2 cores."""
    from biggan_discovery.scenes.fit import fit

    fit(state / "fit.pt", **settings)  # pyright: ignore[reportArgumentType]


@scenes.command("export")
@click.option("--state", type=_FOLDER, default="runs/scenes-64", help="Folder that `fit` wrote.")
@click.option("--out", type=_FOLDER, default="checkpoints/scenes-64", help="Folder for the generator.")
def export_command(state: Path, out: Path) -> None:
    """Write the fitted network as a generator's folder, statistics of all truncations measured."""
    from biggan_discovery.scenes.export import export

    export(state / "fit.pt", out)
    click.echo(f"wrote {out}")


@scenes.command("fidelity")
@click.option("--generator", default="scenes-64", help="Name or folder.")
@click.option("--count", type=POSITIVE_INT, default=1000, help="Held-out pairs of latent and class.")
@click.option("--truncation", type=POSITIVE_FLOAT, default=1.0)
def fidelity_command(generator: str, count: int, truncation: float) -> None:
    """Print PSNR of generated images against renders of the same latents."""
    from biggan_discovery.generators import load_generator
    from biggan_discovery.scenes.export import fidelity
    from biggan_discovery.scenes.render import CLASSES

    decibels = fidelity(load_generator(generator, truncation=truncation), count)
    by_class = ", ".join(f"{name} {decibels[i :: len(CLASSES)].mean():.2f}" for i, name in enumerate(CLASSES))
    click.echo(
        f"PSNR over {count} held-out pairs at truncation {truncation:g}: mean {decibels.mean():.2f} dB, "
        f"lowest {decibels.min():.2f} dB; {by_class}"
    )


@scenes.command("strength")
@click.option("--count", type=POSITIVE_INT, default=200, help="Scenes to average over.")
def strength_command(count: int) -> None:
    """Print how much a unit step of each factor's coordinate changes a scene (RMS, images in [-1, 1])."""
    import torch

    from biggan_discovery.scenes.fit import scene_images
    from biggan_discovery.scenes.render import CLASSES, FACTORS

    u = torch.randn(count, len(FACTORS), generator=torch.Generator().manual_seed(0))
    y = torch.arange(count) % len(CLASSES)
    for index, name in enumerate(FACTORS):
        half = 0.25 * torch.eye(len(FACTORS))[index]
        change = (scene_images(u + half, y) - scene_images(u - half, y)) / 0.5
        click.echo(f"{name:16} {change.square().mean().sqrt():.3f}")


@scenes.command("sheet")
@click.option("--generator", default="scenes-64", help="Name or folder.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default="docs/fidelity.png")
@click.option("--columns", type=POSITIVE_INT, default=10)
@click.option("--seed", type=click.IntRange(0), default=0)
def sheet_command(generator: str, out: Path, columns: int, seed: int) -> None:
    """Draw renders above generated images of the same latents, not chosen."""
    from biggan_discovery.generators import load_generator
    from biggan_discovery.scenes.sheet import draw_sheet

    draw_sheet(load_generator(generator), out, columns=columns, seed=seed)
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    run(scenes, "python -m biggan_discovery.scenes")
