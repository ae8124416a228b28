"""Options and value types that several commands share. Nothing here imports torch."""

from __future__ import annotations

import functools
import inspect
import logging
import math
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from biggan_discovery.errors import near_matches
from biggan_discovery.rendering.table import RANGES

LARGEST = 3.4e38  # The largest float32, rounded down.
_INT64 = range(-(2**63), 2**63)
_LONGEST_METAVAR = 20
_LONGEST_RANGE = 100_000
_TYPED = "biggan_discovery.typed"


class IndexList(click.ParamType):
    """Indices such as "0,3,8-12": a list of integers in the order given, without repetition."""

    name = "indices"

    def convert(self, value: str | list[int], param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Parse `value`; fail with one line that names the piece that is not an index or a range."""
        if isinstance(value, list):
            return value
        indices: list[int] = []
        for piece in value.split(","):
            match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", piece)
            if match is None:
                self.fail(f"{piece.strip()!r} is not an index; write for example 0,3,8-12", param, ctx)
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                self.fail(f"{piece.strip()!r} runs backwards; write {last}-{first}", param, ctx)
            if last - first >= _LONGEST_RANGE:
                self.fail(f"{piece.strip()!r} is more than {_LONGEST_RANGE} indices", param, ctx)
            indices.extend(range(first, last + 1))
        return list(dict.fromkeys(indices))


class Name(click.ParamType):
    """One of a set of names; an unknown name is refused with its near matches."""

    name = "name"

    def __init__(self, names: Sequence[str]):
        self.names = names
        self._listed = f"[{'|'.join(names)}]"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """All names, if they are short."""
        return self._listed if len(self._listed) <= _LONGEST_METAVAR else "NAME"

    def explain(self, what: str) -> str:
        """A help text: `what`, and the names if the metavar does not list them."""
        return f"{what}." if len(self._listed) <= _LONGEST_METAVAR else f"{what}: {', '.join(self.names)}."

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value; fail with one line if it is not one of the names."""
        if value not in self.names:
            near = near_matches(value, self.names)
            self.fail(f"{value!r} is not one of {', '.join(self.names)}{near}", param, ctx)
        return value


class Names(Name):
    """Several of a set of names, separated by commas."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """A placeholder; the help line lists the names."""
        return "NAME,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the names; fail with one line at the first unknown one."""
        if not isinstance(value, str):
            return value
        return [str(Name.convert(self, piece.strip(), param, ctx)) for piece in value.split(",")]


class Grouped(click.Command):
    """A command whose help lists options in labelled groups, see `group`.

    In the epilog, COMMAND stands for the command as it was typed, such as "biggan-discovery discover".
    """

    def __init__(self, *args: Any, context_settings: dict[str, Any] | None = None, **kwargs: Any):
        wide = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
        super().__init__(*args, context_settings={**wide, **(context_settings or {})}, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was typed, see `typed_command`."""
        ctx.meta[_TYPED] = tuple(args)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per group."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):  # The usage line has the arguments.
                sections.setdefault(getattr(param, "group", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the epilog with the name that the command was called by."""
        if self.epilog:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(inspect.cleandoc(self.epilog).replace("COMMAND", ctx.command_path))


def group(title: str, *options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Options shown together in the help of a `Grouped` command, in this order."""

    def apply(command: Any) -> Any:
        before = len(getattr(command, "__click_params__", []))
        for option in reversed(options):
            command = option(command)
        for param in command.__click_params__[before:]:
            param.group = title
        return command

    return apply


def sibling(name: str) -> str:
    """Another command as the user would type it, after the running command: "python visualize.py"."""
    ctx = click.get_current_context()
    before, _, after = ctx.command_path.rpartition(str(ctx.command.name))
    return f"{before}{name}{after}"


def typed_command() -> str:
    """The running command as it was typed, for the settings that pictures keep."""
    ctx = click.get_current_context()
    return f"{ctx.command_path} {shlex.join(ctx.meta[_TYPED])}".strip()


class IntRange(click.IntRange):
    """An integer in a range, and of 64 bits."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse `value`; fail with one line if it is not an integer in the range."""
        number = super().convert(value, param, ctx)
        if number not in _INT64:
            self.fail(f"{number} is too large; at most {_INT64[-1]}", param, ctx)
        return number


class FiniteRange(click.FloatRange):
    """A float32 in a range; NaN, which compares false with every bound, and infinities are refused."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse `value`; fail with one line if it is not finite or out of range."""
        number = super().convert(value, param, ctx)
        if not abs(number) <= LARGEST:
            self.fail(f"{number} is not a finite number{' in float32' * math.isfinite(number)}", param, ctx)
        return number


class Seed(click.ParamType):
    """A seed that PyTorch takes; its range is not worth showing in help."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse `value`; fail with one line if it is not an integer in the range."""
        return IntRange(0, _INT64[-1]).convert(value, param, ctx)


class OrWord(click.ParamType):
    """A value of a given type, or a word such as "auto"."""

    def __init__(self, kind: click.ParamType, word: str):
        self._kind, self._word = kind, word
        self.name = f"{kind.name}|{word}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse `value`; fail with one line if it is neither."""
        return value if value == self._word else self._kind.convert(value, param, ctx)


INDEX_LIST = IndexList()
POSITIVE_INT = IntRange(min=1)
POSITIVE_FLOAT = FiniteRange(min=0, min_open=True)
PATH_SIZE = OrWord(POSITIVE_FLOAT, "auto")


generator_option = click.option(
    "--generator",
    default="scenes-64",
    show_default=True,
    metavar="NAME|PATH|CODE",
    help="Name, path, or Python code (my_gan.py:G).",
)
of_file_generator_option = click.option(
    "--generator",
    metavar="NAME|PATH|CODE",
    help="Name, path, or Python code (my_gan.py:G).  [default: the generator in the file]",
)
device_option = click.option(
    "--device",
    metavar="DEVICE",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:1, mps, xpu, ...; auto: a CUDA GPU if there is one.",
)


def picture_option(default: str, explained: str) -> Callable[[Any], Any]:
    """`--out` of a command that makes one picture."""
    return click.option(
        "--out", type=click.Path(path_type=Path), metavar="FILE", default=default, show_default=True, help=explained
    )


seed_option = click.option("--seed", type=Seed(), default=0, show_default=True, help="Random seed.")
samples_columns_option = click.option(
    "--columns", type=IntRange(*RANGES["columns"]), help="Samples side by side.  [default: chosen to fit]"
)


def _one_choice(ctx: click.Context, _: click.Parameter, value: str | Path | None) -> str | Path | None:
    """The classes, by whichever option they are given."""
    known = ctx.params.get("classes")
    if value is not None and known is not None:
        raise click.UsageError("--class and --class-vectors both say which classes; give one of them")
    return known if value is None else value


def _class_vectors(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    ctx.params["classes"] = _one_choice(ctx, param, value)


class_text_option = click.option(
    "--class",
    "classes",
    metavar="CLASSES",
    callback=_one_choice,
    help="Index, name or WordNet id, several (cube,torus or 0-2), all, or a mix (cube:0.7, torus:0.3).",
)
_class_vectors_option = click.option(
    "--class-vectors",
    type=click.Path(path_type=Path),
    metavar="FILE",
    expose_value=False,
    callback=_class_vectors,
    help="Class weights (N, classes) instead, one row per sample (.npy, .npz, .pt, .csv, ...).",
)


def class_option(command: Any) -> Any:
    """`--class` and `--class-vectors`, either of which gives the argument `classes`, see `class_list`."""
    return class_text_option(_class_vectors_option(command))


_offline_option = click.option("--offline", is_flag=True, default=None, help="Never download weights.")
_mirror_option = click.option("--mirror", metavar="URL", help="Address to download weights from.")
download_options = (_offline_option, _mirror_option)
"""How weights are had, for commands that run on the CPU only."""


def truncation_option(default: str) -> Callable[[Any], Any]:
    """`--truncation`, with its default in words."""
    return click.option(
        "--truncation",
        type=FiniteRange(0, 1, min_open=True),
        help=f"Truncation of the generator.  [default: {default}]",
    )


def loading_options(truncation: str) -> Callable[[Any], Any]:
    """The group of options for how a generator is loaded, with the default truncation in words."""
    options = (truncation_option(truncation), device_option, _offline_option, _mirror_option)
    return group("Loading the generator", *options)


def layers_option(what: str, default: str, also: str = "") -> Callable[[Any], Any]:
    """`--layers`.

    Args:
        what: its purpose, the beginning of the help text.
        default: the default in words.
        also: what else it takes.
    """
    return click.option(
        "--layers",
        metavar="LAYERS",
        help=f"{what}: all, coarse, mid, fine (thirds), or a range (4-8){also}.  [default: {default}]",
    )


scale_option = click.option(
    "--scale", type=IntRange(*RANGES["scale"]), help="Enlarge pictures by a factor.  [default: small ones, to fit]"
)
pick_option = click.option(
    "--pick", type=INDEX_LIST, metavar="NUMBERS", help="Samples by their numbers on a sheet of `samples`: 3,7,11."
)
directions_argument = click.argument("path", metavar="DIRECTIONS", type=click.Path())


def _quieten(ctx: click.Context, _: click.Parameter, quiet: bool) -> bool:
    """Log nothing below warnings until the command ends."""
    if quiet:
        log = logging.getLogger("biggan_discovery")
        ctx.call_on_close(functools.partial(log.setLevel, log.level))
        log.setLevel(logging.WARNING)
    return quiet


quiet_option = click.option("--quiet", is_flag=True, callback=_quieten, help="Show no progress.")
