"""`biggan-discovery discover`: find directions."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import Field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from biggan_discovery import output
from biggan_discovery.cli.options import (
    POSITIVE_INT,
    FiniteRange,
    Grouped,
    IntRange,
    Name,
    Names,
    class_option,
    generator_option,
    group,
    layers_option,
    loading_options,
    quiet_option,
    seed_option,
    sibling,
)
from biggan_discovery.cli.summary import summary
from biggan_discovery.errors import UserError
from biggan_discovery.generators.spaces import SPACES, Z
from biggan_discovery.runs.trackers import TRACKERS
from biggan_discovery.search.table import SOLVERS, method_names, settings_by_user

if TYPE_CHECKING:
    from biggan_discovery.generators import FrozenGenerator
    from biggan_discovery.generators.mixes import Class

_OF_SOLVERS = "Settings of both solvers"

_EXAMPLES = """
\b
Examples:
  COMMAND
      all classes of the bundled generator
  COMMAND --class cone --seed 1
      one class, different samples
  COMMAND --class cone,torus --each
      one run per class
  COMMAND --method orojar
      another method
  COMMAND --solver adam --steps 600
      gradient descent, as in the paper
  COMMAND --generator biggan-deep-256 --class 207
      an ImageNet BigGAN, golden retrievers
  COMMAND --generator brock-128 --class 207 --layers mid
      only the middle layers
  COMMAND --generator brock-128 --class 207 --layers each
      every layer by itself
  torchrun --nproc-per-node 4 -m biggan_discovery discover
      four GPUs

Running the same command again resumes from the last checkpoint.

Joint diagonalization, the default solver, takes no gradient steps. It holds one latent in four back, tells how the
directions do on these, and adds latents until that no longer improves; --samples, --evaluations and --minutes limit
them. The schedule of the papers for ImageNet BigGANs, 50,000 steps of batch 96 (38,400,000 evaluations), runs only
with --solver adam. What a search will do is printed first, and its time after the first steps.
"""


def _setting_options() -> list[Callable[[Any], Any]]:
    """The options for the settings of all solvers and methods, in groups."""
    fields: dict[str, dict[str, Field[Any]]] = {}
    for user, settings in settings_by_user().items():
        for name, field in settings.own().items():
            fields.setdefault(name, {})[user] = field
    groups: dict[str, list[Callable[[Any], Any]]] = {_OF_SOLVERS: []}
    for name, by_user in fields.items():
        shared = SOLVERS.keys() <= by_user.keys()
        title = _OF_SOLVERS if shared else f"Settings of {next(iter(by_user))}"
        others = [user for user in by_user if user not in (SOLVERS if shared else [next(iter(by_user))])]
        groups.setdefault(title, []).append(_setting_option(name, by_user, others))
    return [group(title, *options) for title, options in groups.items()]


def _setting_option(name: str, by_user: dict[str, Field[Any]], others: list[str]) -> Callable[[Any], Any]:
    """The option for a setting of a group, which some other methods have too."""
    field = next(iter(by_user.values()))
    kind, what = _type(field), field.metadata["help"]
    if isinstance(kind, Name):
        what = kind.explain(what.removesuffix("."))
    also = f" Also for {' and '.join(others)}." if others else ""
    return click.option(f"--{name.replace('_', '-')}", type=kind, help=f"{what}{also}  [default: {_default(by_user)}]")


def _default(by_user: dict[str, Field[Any]]) -> str:
    """The default of a setting; if it differs between users, that of each."""
    texts = {user: field.metadata["default"] for user, field in by_user.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    first, *rest = texts.items()
    return "; ".join((first[1], *(f"{text} for {user}" for user, text in rest)))


def _type(field: Field[Any]) -> click.ParamType:
    choices, least, above = (field.metadata[key] for key in ("choices", "least", "above"))
    if choices:
        return Name(choices)
    if str(field.type).startswith("int"):
        return IntRange(least)
    if str(field.type).startswith("float"):
        return FiniteRange(least if above is None else above, min_open=above is not None)
    return click.STRING


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_setting_options()):
        command = option(command)
    return command


_SPACE = Name(SPACES)
_METHOD, _SOLVER, _TRACKERS = Name(method_names()), Name(tuple(SOLVERS)), Names(TRACKERS)


@click.command("discover", cls=Grouped, epilog=_EXAMPLES)
@group(
    "What to search",
    generator_option,
    class_option,
    click.option("--each", is_flag=True, help="One separate run per class."),
    layers_option("Layers the directions reach", "all", "; each: layer by layer, one file"),
    click.option(
        "--space", type=_SPACE, default=Z, show_default=True, help="Latents, class embeddings, or both together."
    ),
    click.option(
        "--directions", type=POSITIVE_INT, help="Number of directions.  [default: one per searched coordinate]"
    ),
)
@group(
    "How to search",
    click.option(
        "--method",
        type=_METHOD,
        help=f"{_METHOD.explain('Method')}  [default: combined; hessian with the solver adam]",
    ),
    click.option(
        "--solver",
        type=_SOLVER,
        help=f"{_SOLVER.explain('Solver for hessian and orojar')}  [default: adam if one of its settings is given, "
        "else joint-diagonalization]",
    ),
    seed_option,
)
@group(
    "Results",
    click.option(
        "--out",
        type=click.Path(),
        metavar="FOLDER",
        help="Folder for results.  [default: directions/GENERATOR-CLASSES-LAYERS-METHOD-SEED]",
    ),
    click.option("--save-every", type=POSITIVE_INT, default=100, show_default=True, help="Steps between checkpoints."),
    click.option("--tracker", type=_TRACKERS, help="Also record pictures and figures with tensorboard, wandb or both."),
    click.option("--judge/--no-judge", default=True, help="Measure held-out penalties (about 1,500 images)."),
    quiet_option,
)
@_with_settings
@loading_options("1")
def discover_command(
    generator: str,
    classes: str | Path | None,
    truncation: float | None,
    device: str,
    offline: bool | None,
    mirror: str | None,
    layers: str | None,
    space: str,
    out: str | None,
    each: bool,
    **settings: Any,
) -> None:
    """Find interpretable directions of a generator.

    Finds directions for which moving along one does not change the effect of another (Hessian Penalty) and whose image
    changes are orthogonal (OroJaR). Writes directions.safetensors, history.csv and a checkpoint to resume from.
    """
    from biggan_discovery.generators import load_generator
    from biggan_discovery.generators.labels import class_list
    from biggan_discovery.generators.layer_range import ALL, EACH, is_each, parse_layers
    from biggan_discovery.runs.processes import first_then_others, own_device
    from biggan_discovery.search.table import check_request, method_or_default

    settings["method"] = method_or_default(settings["method"], settings["solver"], settings)
    check_request(settings["method"], settings["solver"], settings)
    place = own_device(device)
    loaded = first_then_others(
        lambda: load_generator(generator, truncation=truncation, device=place, offline=offline, mirror=mirror)
    )
    from biggan_discovery.generators.class_space import in_space

    loaded = in_space(loaded, space)
    chosen = None if classes is None else class_list(loaded, classes)
    settings["layers"] = EACH if is_each(layers) else str(parse_layers(layers or ALL, loaded.num_layers))
    if out is None:
        name = _run_name(loaded.name, classes, {**settings, "space": space})
        out = os.path.join("directions", f"{name}-each" if each else name)  # noqa: PTH118
    elif not out:
        raise UserError("out is ''; give a folder, or leave it out")
    if each:
        _search_each(loaded, range(loaded.num_classes) if chosen is None else chosen, out, settings)
    else:
        _search(loaded, chosen, out, settings)


def _search_each(generator: FrozenGenerator, classes: Sequence[Class], out: str, settings: dict[str, Any]) -> None:
    """One run per class, in a folder named after its index and name; if one fails, the others still run."""
    failures: dict[str, list[str]] = {}
    from biggan_discovery.generators.mixes import class_title

    for label in classes:
        title = _plain(class_title(generator.class_names, label))
        name = f"{label}-{title}" if isinstance(label, int) else title
        try:
            _search(generator, [label], os.path.join(out, name), settings)  # noqa: PTH118
        except UserError as error:
            failures.setdefault(str(error), []).append(name)
    if [len(names) for names in failures.values()] == [len(classes)]:
        raise UserError(next(iter(failures)))  # Not specific to a class.
    if failures:
        raise UserError("; ".join(f"{', '.join(names)}: {message}" for message, names in failures.items()))


def _search(generator: FrozenGenerator, classes: list[Class] | None, out: str, settings: dict[str, Any]) -> None:
    """Run one search and print its summary."""
    from biggan_discovery.generators.catalogue import runs_code
    from biggan_discovery.search import discover

    file = os.path.join(out, "directions.safetensors")  # noqa: PTH118
    before = _modified(file)
    try:
        found = discover(generator, classes=classes, out=out, **settings)
    except (KeyboardInterrupt, SystemExit) as error:
        if os.path.exists(os.path.join(out, "state.safetensors")):  # noqa: PTH110, PTH118
            error.add_note(f"the run is saved in {out}, run the same command again to resume")
        raise
    for line in summary(found):
        output.status(line)
    done = "already finished:" if _modified(file) == before else "saved"
    code = f" --generator {shlex.quote(generator.name)}" if runs_code(generator.name) else ""
    output.status(f"{done} {file}; see it with: {sibling('visualize')} {shlex.quote(file)}{code}")


def _modified(path: str) -> int | None:
    return os.stat(path).st_mtime_ns if os.path.exists(path) else None  # noqa: PTH110, PTH116


def _run_name(generator: str, classes: str | Path | None, settings: dict[str, Any]) -> str:
    from biggan_discovery.generators.layer_range import is_each

    words = [
        os.path.basename(generator),  # noqa: PTH119
        classes.stem if isinstance(classes, Path) else classes or "all",
        settings["method"],
        f"seed{settings['seed']}",
    ]
    layers = settings["layers"]
    if layers != "all":
        words.insert(2, f"layers_{layers}" if layers[0].isdigit() or is_each(layers) else layers)
    if settings["space"] != Z:
        words.insert(2, f"space_{settings['space']}")
    return "-".join(map(_plain, words))


def _plain(word: str) -> str:
    """A word as part of a file name."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in word)
