"""`python -m biggan_discovery.scenes`: build and check the bundled generators."""

from __future__ import annotations

from pathlib import Path

import click

from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_FLOAT, POSITIVE_INT

_FOLDER = click.Path(path_type=Path, file_okay=False)

_scene_option = click.option("--scene", "scene_name", default="room", metavar="NAME", help="room, apart or overlap.")
_state_option = click.option("--state", type=_FOLDER, help="Folder of the fit.  [default: runs/CHECKPOINT]")
_generator_option = click.option("--generator", default="scenes-64", help="Name or folder of a generator.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def scenes() -> None:
    """Build the bundled generators and compare them with their scenes."""


@scenes.command("fit")
@_scene_option
@_state_option
@click.option("--steps", type=POSITIVE_INT, default=14_000, help="Total steps of Adam.")
@click.option("--renders", type=POSITIVE_INT, default=64_000, help="Number of scenes to render.")
@click.option("--batch", type=POSITIVE_INT, default=32, help="Images per step.")
@click.option("--lr", type=POSITIVE_FLOAT, default=2e-3, help="Maximum learning rate.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Random seed.")
@click.option("--save-every", type=POSITIVE_INT, default=250, help="Steps between checkpoints and reports.")
def fit_command(scene_name: str, state: Path | None, **settings: int | float) -> None:
    """Fit the network, resuming from its checkpoint. The room takes about two hours on 2 cores."""
    from biggan_discovery.scenes.fit import fit
    from biggan_discovery.scenes.table import find_scene

    scene = find_scene(scene_name)
    fit(scene, _state_file(scene.checkpoint, state), **settings)  # pyright: ignore[reportArgumentType]


@scenes.command("export")
@_scene_option
@_state_option
@click.option("--out", type=_FOLDER, help="Folder for the generator.  [default: checkpoints/CHECKPOINT]")
def export_command(scene_name: str, state: Path | None, out: Path | None) -> None:
    """Write the fitted network as a generator folder, with statistics for all truncations."""
    from biggan_discovery.scenes.export import export
    from biggan_discovery.scenes.table import find_scene

    scene = find_scene(scene_name)
    out = out or Path("checkpoints", scene.checkpoint)
    export(scene, _state_file(scene.checkpoint, state), out)
    click.echo(f"wrote {out}")


@scenes.command("rotate")
@_generator_option
@click.option("--seed", type=click.IntRange(0), required=True, help="Seed of the rotation.")
@click.option("--out", type=_FOLDER, required=True, help="Folder for the rotated generator.")
def rotate_command(generator: str, seed: int, out: Path) -> None:
    """Write a copy of a generator with a randomly rotated latent space."""
    from biggan_discovery.generators.catalogue import find_folder
    from biggan_discovery.scenes.rotate import rotate

    rotate(find_folder(generator)[1], out, seed)
    click.echo(f"wrote {out}")


@scenes.command("fidelity")
@_generator_option
@click.option("--count", type=POSITIVE_INT, default=1000, help="Number of held-out latents.")
@click.option("--truncation", type=POSITIVE_FLOAT, default=1.0, help="Truncation of the generator.")
def fidelity_command(generator: str, count: int, truncation: float) -> None:
    """Print the PSNR of generated images against renders of the same latents."""
    from biggan_discovery.generators import load_generator
    from biggan_discovery.scenes.export import fidelity

    loaded = load_generator(generator, truncation=truncation)
    decibels = fidelity(loaded, count)
    means = [decibels[index :: loaded.num_classes].mean() for index in range(loaded.num_classes)]
    by_class = ", ".join(f"{name} {mean:.2f}" for name, mean in zip(loaded.class_names, means, strict=True))
    click.echo(
        f"PSNR over {count} held-out pairs at truncation {truncation:g}: mean {decibels.mean():.2f} dB, "
        f"lowest {decibels.min():.2f} dB; {by_class}"
    )


@scenes.command("predictor")
@_scene_option
@_state_option
@click.option("--out", type=_FOLDER, help="Folder of the generator.  [default: checkpoints/CHECKPOINT]")
@click.option("--renders", type=click.IntRange(2000), default=64_000, help="Number of scenes, 1,000 of them held out.")
@click.option("--epochs", type=POSITIVE_INT, default=4, help="Epochs over the renders.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Random seed.")
def predictor_command(scene_name: str, state: Path | None, out: Path | None, renders: int, **settings: int) -> None:
    """Fit the network that predicts factors from images; about ten minutes on one core."""
    from biggan_discovery.generators.factor_predictor import FACTOR_PREDICTOR
    from biggan_discovery.scenes.predictor import fit_predictor
    from biggan_discovery.scenes.table import find_scene

    scene = find_scene(scene_name)
    path = (out or Path("checkpoints", scene.checkpoint)) / FACTOR_PREDICTOR
    folder = _state_file(scene.checkpoint, state).parent / "renders"
    explained = fit_predictor(scene, folder, path, count=renders, **settings)
    by_factor = ", ".join(f"{name} {share:.4f}" for name, share in zip(scene.factors, explained, strict=True))
    click.echo(f"wrote {path}; R² on held-out renders: {by_factor}")


@scenes.command("strength")
@_scene_option
@click.option("--count", type=POSITIVE_INT, default=200, help="Number of scenes to average over.")
def strength_command(scene_name: str, count: int) -> None:
    """Print the RMS change of a scene per unit step of each factor's coordinate (images in [-1, 1])."""
    import torch

    from biggan_discovery.scenes.table import find_scene

    scene = find_scene(scene_name)
    u = torch.randn(count, len(scene.factors), generator=torch.Generator().manual_seed(0))
    y = torch.arange(count) % len(scene.classes)
    for index, name in enumerate(scene.factors):
        half = 0.25 * torch.eye(len(scene.factors))[index]
        change = (scene.images(u + half, y) - scene.images(u - half, y)) / 0.5
        click.echo(f"{name:16} {change.square().mean().sqrt():.3f}")


@scenes.command("sheet")
@_generator_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default="docs/fidelity.png", help="PNG file.")
@click.option("--columns", type=POSITIVE_INT, default=10, help="Samples per class.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Random seed.")
def sheet_command(generator: str, out: Path, columns: int, seed: int) -> None:
    """Draw renders above generated images of the same latents, without selection."""
    from biggan_discovery.generators import load_generator
    from biggan_discovery.scenes.sheet import draw_sheet

    draw_sheet(load_generator(generator), out, columns=columns, seed=seed)
    click.echo(f"wrote {out}")


def _state_file(checkpoint: str, folder: Path | None) -> Path:
    return (folder or Path("runs", checkpoint)) / "fit.pt"


if __name__ == "__main__":
    run(scenes, "python -m biggan_discovery.scenes")
