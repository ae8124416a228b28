"""`biggan-discovery compare`: how alike two or more sets of directions are."""

from __future__ import annotations

import itertools
import shlex
import sys
from pathlib import Path

import click

from biggan_discovery.cli.options import (
    POSITIVE_FLOAT,
    class_option,
    device_option,
    of_file_generator_option,
    quiet_option,
    seed_option,
    truncation_option,
)
from biggan_discovery.errors import UserError
from biggan_discovery.files import check_writable, existing_file

_SAMPLES = 8


@click.command("compare")
@click.argument("paths", metavar="A B...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for report.html, report.md, report.json and figures.  [default: beside A]",
)
@click.option("--path-size", type=POSITIVE_FLOAT, help="Extent of the film strips.  [default: as in A's search]")
@class_option
@seed_option
@of_file_generator_option
@truncation_option
@device_option
@quiet_option
def compare_command(
    paths: tuple[str, ...],
    out: Path | None,
    path_size: float | None,
    classes: str | None,
    seed: int,
    generator: str | None,
    truncation: float | None,
    device: str,
    offline: bool | None,
    mirror: str | None,
    quiet: bool,
) -> None:
    """Match the directions of two or more files one to one, and say how far they and the spaces they span agree.

    Over runs with several seeds this is how consistent a method is.

    \b
    Examples:
      biggan-discovery compare runs/seed0/directions.safetensors runs/seed1/directions.safetensors
      biggan-discovery compare runs/seed*/directions.safetensors --out consistency
    """
    from biggan_discovery.cli.evaluate import setting
    from biggan_discovery.cli.judged import open_sets
    from biggan_discovery.evaluation.activeness import activeness, activeness_cost
    from biggan_discovery.evaluation.agreement import agreement, chance_agreement
    from biggan_discovery.progress import Progress
    from biggan_discovery.reports.comparison import Comparison, comparison_cost, write_comparison
    from biggan_discovery.reports.evaluation import HTML

    if len(paths) < 2:
        raise UserError(f"only {' '.join(paths)} is given; a comparison needs two files or more")
    first = existing_file(paths[0])
    out = out or first.with_name(f"{first.stem}-comparison")
    check_writable(out / HTML)
    sets, network, known_classes = open_sets(
        paths,
        generator=generator,
        classes=classes,
        truncation=truncation,
        device=device,
        offline=offline,
        mirror=mirror,
    )
    size = path_size or setting(paths[0], next(iter(sets.values())), network, "path_size")

    pairs = list(itertools.combinations(sets, 2))
    judged = sum(activeness_cost(len(each), samples=_SAMPLES) for each in list(sets.values())[:-1])
    drawn = sum(comparison_cost(1, min(len(sets[one]), len(sets[other]))) for one, other in pairs)
    with Progress(judged + drawn, "comparing", unit="image", quiet=quiet) as progress:
        scores = {
            label: activeness(
                network,
                each.Q,
                classes=known_classes,
                samples=_SAMPLES,
                layers=each.layers,
                seed=seed,
                progress=progress,
            )
            for label, each in list(sets.items())[:-1]
        }
        comparisons = []
        for one, other in pairs:
            space = sets[one].search_space
            chance = chance_agreement(len(sets[one]), len(sets[other]), space.stop - space.start, seed=seed)
            comparisons.append(Comparison((one, other), agreement(sets[one].Q, sets[other].Q), chance, scores[one]))
        write_comparison(
            out,
            network,
            sets,
            comparisons,
            classes=known_classes,
            path_size=size,
            seed=seed,
            command=shlex.join(["biggan-discovery", *sys.argv[1:]]),
            drawn=progress.advance,
        )
    for each in comparisons:
        click.echo(
            f"{' and '.join(each.labels)}: mean |cos| {each.agreement.mean:.3f}, weighted by activeness "
            f"{each.weighted:.3f} (chance {each.chance.mean:.3f}), "
            f"largest principal angle {each.agreement.angles[-1]:.1f}°"
        )
    click.echo(f"wrote {out / HTML}")
