"""`biggan-discovery discover`: find directions."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import Field
from typing import TYPE_CHECKING, Any

import click

from biggan_discovery.cli.options import (
    POSITIVE_INT,
    FiniteRange,
    Grouped,
    Name,
    class_option,
    device_option,
    generator_option,
    group,
    layers_option,
    quiet_option,
    seed_option,
    truncation_option,
)
from biggan_discovery.errors import UserError
from biggan_discovery.search.table import SOLVERS, method_names, settings_by_user

if TYPE_CHECKING:
    from biggan_discovery.directions import Directions
    from biggan_discovery.generators import FrozenGenerator

_EXAMPLES = """
\b
Examples:
  discover.py                                  all classes of the bundled generator
  discover.py --class cone --seed 1            one class, other samples
  discover.py --method orojar                  another method
  discover.py --solver adam --steps 600        the papers' way to search
  discover.py --generator biggan-deep-256 --class "golden retriever" --out runs/goldens
  discover.py --generator brock-128 --class "golden retriever" --layers mid
  discover.py --class cone,torus --each        a run for each of the classes
  torchrun --nproc-per-node 4 discover.py      four GPUs share the work

Running the same command again continues where it stopped. Settings without a value are the generator's own; for
ImageNet BigGANs they are the paper's: 50,000 steps, batch 96, lr 0.01, path size 5, epsilon 0.1, 2 probes.
"""


def _setting_options() -> list[Callable[[Any], Any]]:
    """An option for each setting of each method, in a group for each set of methods that have it."""
    fields: dict[str, dict[str, Field[Any]]] = {}
    for user, settings in settings_by_user().items():
        for name, field in settings.own().items():
            fields.setdefault(name, {})[user] = field
    groups: dict[str, list[Callable[[Any], Any]]] = {}
    for name, by_user in fields.items():
        field = next(iter(by_user.values()))
        help_ = f"{field.metadata['help']}  [default: {_default(by_user)}]"
        option = click.option(f"--{name.replace('_', '-')}", type=_type(field), help=help_)
        groups.setdefault(f"Settings of {', '.join(by_user)}", []).append(option)
    return [group(title, *options) for title, options in groups.items()]


def _default(by_user: dict[str, Field[Any]]) -> str:
    """The default of a setting, or those of its users where they differ."""
    texts = {user: field.metadata["default"] for user, field in by_user.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{text} for {user}" for user, text in texts.items())


def _type(field: Field[Any]) -> click.ParamType:
    choices, least, above = (field.metadata[key] for key in ("choices", "least", "above"))
    if choices:
        return Name(choices)
    if str(field.type).startswith("int"):
        return click.IntRange(least)
    if field.type == "float":
        return FiniteRange(least if above is None else above, min_open=above is not None)
    return click.STRING


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_setting_options()):
        command = option(command)
    return command


@click.command(
    cls=Grouped, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@group(
    "What to search",
    generator_option,
    truncation_option,
    class_option,
    click.option("--each", is_flag=True, help="One separate run per class."),
    layers_option("Layers that the directions reach", "all"),
    click.option("--directions", type=POSITIVE_INT, help="Number of directions.  [default: as many as coordinates]"),
)
@group(
    "How",
    click.option("--method", type=Name(method_names()), default="hessian", show_default=True, help="Method."),
    click.option(
        "--solver",
        type=Name(tuple(SOLVERS)),
        help="Solver for hessian and orojar.  [default: adam if one of its own settings is given, else "
        "joint-diagonalization]",
    ),
    seed_option,
    device_option,
)
@_with_settings
@group(
    "Results",
    click.option(
        "--out",
        type=click.Path(),
        help="Folder for results.  [default: directions/GENERATOR-CLASSES-LAYERS-METHOD-SEED]",
    ),
    click.option("--save-every", type=POSITIVE_INT, default=100, show_default=True, help="Steps between checkpoints."),
    click.option("--tensorboard", is_flag=True, help="Write TensorBoard scalars too."),
    click.option("--judge/--no-judge", default=True, help="Take held-out penalties (about 1,500 images)."),
    quiet_option,
)
def discover_command(
    generator: str,
    classes: str | None,
    truncation: float | None,
    device: str,
    offline: bool | None,
    mirror: str | None,
    layers: str | None,
    out: str | None,
    each: bool,
    **settings: Any,
) -> None:
    """Find interpretable directions of a generator.

    Those of the Hessian Penalty are such that moving along one does not change what moving along another does. The
    folder gets directions.safetensors, history.csv and a checkpoint to resume from.
    """
    from biggan_discovery.generators import load_generator, parse_classes
    from biggan_discovery.generators.layer_range import parse_layers
    from biggan_discovery.runs.processes import first_then_others, own_device
    from biggan_discovery.search.table import check_request

    check_request(settings["method"], settings["solver"], settings)
    place = own_device(device)
    loaded = first_then_others(
        lambda: load_generator(generator, truncation=truncation, device=place, offline=offline, mirror=mirror)
    )
    chosen = None if classes is None else parse_classes(loaded, classes)
    settings["layers"] = str(parse_layers(layers or "all", loaded.num_layers))
    if out is None:
        name = _run_name(loaded.name, classes, settings)
        out = os.path.join("directions", f"{name}-each" if each else name)  # noqa: PTH118
    elif not out:
        raise UserError("out is ''; give a folder, or leave it out")
    if each:
        _search_each(loaded, range(loaded.num_classes) if chosen is None else chosen, out, settings)
    else:
        _search(loaded, chosen, out, settings)


def _search_each(generator: FrozenGenerator, classes: Sequence[int], out: str, settings: dict[str, Any]) -> None:
    """A run for each class, in a folder called by its index and name; what fails for one does not keep the others."""
    failures: dict[str, list[str]] = {}
    for index in classes:
        name = f"{index}-{_plain(generator.class_names[index])}"
        try:
            _search(generator, [index], os.path.join(out, name), settings)  # noqa: PTH118
        except UserError as error:
            failures.setdefault(str(error), []).append(name)
    if [len(names) for names in failures.values()] == [len(classes)]:
        raise UserError(next(iter(failures)))  # It is not about one class.
    if failures:
        raise UserError("; ".join(f"{', '.join(names)}: {message}" for message, names in failures.items()))


def _search(generator: FrozenGenerator, classes: list[int] | None, out: str, settings: dict[str, Any]) -> None:
    """One run, and what it achieved."""
    from biggan_discovery.generators.catalogue import runs_code
    from biggan_discovery.search import discover

    file = os.path.join(out, "directions.safetensors")  # noqa: PTH118
    before = _modified(file)
    try:
        found = discover(generator, classes=classes, out=out, **settings)
    except (KeyboardInterrupt, SystemExit):
        click.echo(f"stopped; the run is saved in {out}, and the same command goes on from there", err=True)
        raise
    for line in _summary(found):
        click.echo(line)
    done = "this run was finished already:" if _modified(file) == before else "saved"
    code = f" --generator {shlex.quote(generator.name)}" if runs_code(generator.name) else ""
    click.echo(f"{done} {file}; see it with: python visualize.py {file}{code}")


def _modified(path: str) -> int | None:
    return os.stat(path).st_mtime_ns if os.path.exists(path) else None  # noqa: PTH110, PTH116


def _run_name(generator: str, classes: str | None, settings: dict[str, Any]) -> str:
    words = [os.path.basename(generator), classes or "all", settings["method"], f"seed{settings['seed']}"]  # noqa: PTH119
    layers = settings["layers"]
    if layers != "all":
        words.insert(2, f"layers_{layers}" if layers[0].isdigit() else layers)
    return "-".join(map(_plain, words))


def _plain(word: str) -> str:
    """A word as a part of a file name."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in word)


def _summary(found: Directions) -> list[str]:
    """What the run achieved, in at most two lines."""
    cost = f"{found.metadata['generator_evaluations']:,} generator evaluations"
    penalties = found.metadata.get("held_out_penalty")
    if penalties is None:
        return [f"found {len(found)} directions with {cost}"]
    change = 100 * (penalties["after"][0] / penalties["random"][0] - 1)
    shown = _by_stage({name: f"{mean:.4g} ± {error:.2g}" for name, (mean, error) in penalties.items()})
    lines = [f"held-out penalty: {shown} ({change:+.0f} % against random; {cost})"]
    if "recovery" in found.metadata:
        shown = _by_stage({name: f"{value:.3f}" for name, value in found.metadata["recovery"].items()})
        lines.append(f"recovery of the known factors (mean |cos|): {shown}")
    return lines


def _by_stage(shown: dict[str, str]) -> str:
    """Figures of the result, of the start where there was one, and of random directions."""
    stages = {"after": "after", "before": "before", "random": "random directions"}
    return ", ".join(f"{shown[key]} {words}" for key, words in stages.items() if key in shown)
