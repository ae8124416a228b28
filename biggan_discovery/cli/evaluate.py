"""`biggan-discovery evaluate`: how good directions are, in numbers and pictures."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from biggan_discovery.directions import Directions
    from biggan_discovery.evaluation.suite import Conditions, Subject
    from biggan_discovery.generators import FrozenGenerator


_BASELINES = {"random": "random", "coordinates": "coordinates", "sefa": "SeFa", "ganspace": "GANSpace"}


@click.command("evaluate")
@click.argument("paths", metavar="DIRECTIONS...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for report.html, report.md, report.json and figures.  [default: beside the first file]",
)
@click.option(
    "--preset",
    type=click.Choice(("quick", "full")),
    default="quick",
    show_default=True,
    help="quick: minutes on two cores for a small generator; full: for a GPU.",
)
@click.option(
    "--baselines",
    is_flag=True,
    help="Judge random, coordinate, SeFa and GANSpace directions too, and the true ones where they are known.",
)
@click.option("--path-size", type=POSITIVE_FLOAT, help="How far to go.  [default: as in the first file's search]")
@click.option(
    "--epsilon", type=POSITIVE_FLOAT, help="Finite-difference step.  [default: as in the first file's search]"
)
@click.option("--probes", type=click.IntRange(2), help="Probes of held-out objectives.  [default: the preset's]")
@class_option
@seed_option
@of_file_generator_option
@truncation_option
@device_option
@quiet_option
def evaluate_command(
    paths: tuple[str, ...],
    out: Path | None,
    preset: str,
    baselines: bool,
    path_size: float | None,
    epsilon: float | None,
    probes: int | None,
    classes: str | None,
    seed: int,
    generator: str | None,
    truncation: float | None,
    device: str,
    offline: bool | None,
    mirror: str | None,
    quiet: bool,
) -> None:
    """Judge directions: penalties, the Hessian, activeness, VP, RCA and more, and known factors where there are any.

    All sets are judged on the same samples. What it will cost is printed first, in forward passes of one image.

    \b
    Examples:
      biggan-discovery evaluate directions/scenes-64.safetensors --out report
      biggan-discovery evaluate runs/seed*/directions.safetensors --baselines --out report
    """
    from biggan_discovery.cli.judged import open_sets
    from biggan_discovery.evaluation.lpips_distance import lpips_distance
    from biggan_discovery.evaluation.suite import PRESETS, Conditions, Judgement, References, Subject, tasks
    from biggan_discovery.progress import Progress
    from biggan_discovery.reports.evaluation import HTML, Judged, picture_cost, write_evaluation

    first = existing_file(paths[0])
    out = out or first.with_name(f"{first.stem}-report")
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
    leading = next(iter(sets.values()))
    conditions = Conditions(
        known_classes,
        path_size or setting(paths[0], leading, network, "path_size"),
        epsilon or setting(paths[0], leading, network, "epsilon"),
        seed,
    )
    subjects = [Subject(label, each.Q, each.layers, tuple(each.names)) for label, each in sets.items()]
    more, notes = _baselines(network, leading, conditions, list(sets)) if baselines else ([], [])
    files = dict(zip(sets, paths, strict=True))
    judged = [
        Judged(subject, Judgement(), files.get(subject.label, ""), _history(files.get(subject.label)))
        for subject in (*subjects, *more)
    ]

    sizes = PRESETS[preset] if probes is None else dataclasses.replace(PRESETS[preset], probes=probes)
    predictor, perceptual, references = network.factor_predictor(), lpips_distance(network), References()
    work = [
        (each.subject.label, task)
        for each in judged
        for task in tasks(
            network,
            each.subject,
            conditions,
            sizes,
            each.judgement,
            predictor=predictor,
            perceptual=perceptual,
            references=references,
        )
    ]
    pictures = sum(picture_cost(len(each.subject.Q)) for each in judged)
    costs = [(title, images) for title, images in _by_title(work, len(judged)) if images]
    costs.append(("pictures", pictures))
    if not quiet:
        for title, images in [*costs, ("in all", sum(images for _, images in costs))]:
            click.echo(f"{images:>10,} images  {title}", err=True)
    for label, task in work:
        with Progress(task.length, f"{label}: {task.title}", unit=task.unit, quiet=quiet) as progress:
            task.run(progress)
    with Progress(pictures, "pictures", unit="image", quiet=quiet) as progress:
        write_evaluation(
            out,
            network,
            conditions,
            (preset, sizes),
            judged,
            command=shlex.join(["biggan-discovery", *sys.argv[1:]]),
            costs=costs,
            notes=notes,
            drawn=progress.advance,
        )
    click.echo(f"wrote {out / HTML}")


def setting(path: str, directions: Directions, generator: FrozenGenerator, key: str) -> float:
    """A setting of the search that found a file's directions; the generator's own where the file does not say.

    Raises:
        UserError: where the file holds something else than a positive number.
    """
    value = directions.metadata.get("settings", {}).get(key) or generator.defaults().get(key)
    if not isinstance(value, int | float) or not 0 < value < 3.4e38:
        raise UserError(
            f"{path} gives the {key} {value!r}, which is not a positive number; give --{key.replace('_', '-')}"
        )
    return float(value)


def _history(path: str | None) -> Path | None:
    """The history of a run, where the file is the result of one."""
    return Path(path).with_name("history.csv") if path and Path(path).stem == "directions" else None


def _by_title(work: list, sets: int) -> list[tuple[str, int]]:
    """What the tasks of the same title cost together."""
    costs: dict[str, int] = {}
    for _, task in work:
        costs[task.title] = costs.get(task.title, 0) + task.images
    return [(title if sets == 1 else f"{title}, {sets} sets", images) for title, images in costs.items()]


def _baselines(
    generator: FrozenGenerator, leading: Directions, conditions: Conditions, taken: list[str]
) -> tuple[list[Subject], list[str]]:
    """As many directions as the first file has, found without a search; and a note on each method that has none."""
    from biggan_discovery.evaluation.suite import Subject, true_subject
    from biggan_discovery.search import discover

    ndirs, layers = len(leading), leading.layers
    found, notes = [], []
    for method, name in (
        ("random", "random"),
        ("coordinates", "coordinates"),
        ("sefa", "SeFa"),
        ("ganspace", "GANSpace"),
    ):
        run = {"directions": ndirs, "layers": layers, "seed": conditions.seed, "judge": False, "quiet": True}
        try:
            rows = discover(generator, method=method, **run).Q
        except UserError as error:
            notes.append(f"No {name} directions: {error}.")
        else:
            found.append(Subject(_free(name, taken), rows, layers))
    if generator.true_directions is not None and layers == "all":
        found.append(true_subject(generator, ndirs, _free("true", taken)))
    return found, notes


def _free(name: str, taken: list[str]) -> str:
    return f"{name} (baseline)" if name in taken else name
