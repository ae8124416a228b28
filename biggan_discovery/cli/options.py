"""Options and value types that several commands share. Nothing here imports torch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import click

from biggan_discovery.errors import near_matches
from biggan_discovery.rendering.table import RANGES

LARGEST = 3.4e38  # of what float32 holds
_LONGEST_RANGE = 100_000


class IndexList(click.ParamType):
    """Indices such as "0,3,8-12": a list of ints in the order given, each once."""

    name = "indices"

    def convert(self, value: str | list[int], param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Parse `value`; fail with one line that names the piece which is no index or range."""
        if isinstance(value, list):
            return value
        indices: list[int] = []
        for piece in value.split(","):
            match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", piece)
            if match is None:
                self.fail(f"{piece.strip()!r} is no index; write for example 0,3,8-12", param, ctx)
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                self.fail(f"{piece.strip()!r} runs backwards; write {last}-{first}", param, ctx)
            if last - first >= _LONGEST_RANGE:
                self.fail(f"{piece.strip()!r} is more than {_LONGEST_RANGE} indices", param, ctx)
            indices.extend(range(first, last + 1))
        return list(dict.fromkeys(indices))


class Name(click.ParamType):
    """One of some names; another word is refused with those that are nearly the same."""

    name = "name"

    def __init__(self, names: Sequence[str]):
        self.names = names

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """All names."""
        return f"[{'|'.join(self.names)}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value itself; fail with one line where it is none of the names."""
        if value not in self.names:
            near = near_matches(value, self.names)
            self.fail(f"{value!r} is not one of {', '.join(self.names)}{near}", param, ctx)
        return value


class Grouped(click.Command):
    """A command whose help lists options in labelled groups; see `group`."""

    def __init__(self, *args: Any, context_settings: dict[str, Any] | None = None, **kwargs: Any):
        wide = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
        super().__init__(*args, context_settings={**wide, **(context_settings or {})}, **kwargs)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):  # The usage line has the arguments.
                sections.setdefault(getattr(param, "group", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def group(title: str, *options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Options that stand together in the help of a `Grouped` command, in this order."""

    def apply(command: Any) -> Any:
        before = len(getattr(command, "__click_params__", []))
        for option in reversed(options):
            command = option(command)
        for param in command.__click_params__[before:]:
            param.group = title
        return command

    return apply


class FiniteRange(click.FloatRange):
    """A float32 in a range; nan, which compares false with every bound, and infinities are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse `value`; fail with one line where it is not finite or out of range."""
        number = super().convert(value, param, ctx)
        if not abs(number) <= LARGEST:
            self.fail(f"{number} is not a finite number{' in float32' * math.isfinite(number)}", param, ctx)
        return number


class OrAuto(click.ParamType):
    """A number of some type, or "auto"."""

    def __init__(self, number: click.ParamType):
        self._number = number
        self.name = f"{number.name.removesuffix(' range')}|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse `value`; fail with one line where it is neither."""
        return "auto" if value == "auto" else self._number.convert(value, param, ctx)


INDEX_LIST = IndexList()
POSITIVE_INT = click.IntRange(min=1)
POSITIVE_FLOAT = FiniteRange(min=0, min_open=True)
PATH_SIZE = OrAuto(POSITIVE_FLOAT)


def _with_download_options(option: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`--offline` and `--mirror` beside an option that chooses a generator; they go to `load_generator`."""
    offline = click.option("--offline", is_flag=True, default=None, help="Never download weights.")
    mirror = click.option("--mirror", metavar="URL", help="Address to download weights from.")
    return lambda command: option(offline(mirror(command)))


generator_option = _with_download_options(
    click.option(
        "--generator",
        default="scenes-64",
        show_default=True,
        metavar="NAME|PATH|CODE",
        help="Name (see `biggan-discovery generators`), folder or file of weights, or Python code: my_gan.py:G.",
    )
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:1, mps, xpu, ...; auto: a CUDA GPU if there is one.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Random seed."
)
quiet_option = click.option("--quiet", is_flag=True, help="Show no progress.")
class_option = click.option(
    "--class",
    "classes",
    metavar="CLASSES",
    help="Index, name, WordNet id, several (cube,torus or 0-2), or all.",
)
truncation_option = click.option(
    "--truncation", type=FiniteRange(0, 1, min_open=True), help="Truncation of the generator, in (0, 1]."
)


def layers_option(what: str, default: str) -> Callable[[Any], Any]:
    """`--layers`, with what it is for and what holds without it."""
    return click.option(
        "--layers",
        metavar="LAYERS",
        help=f"{what}: all, coarse, mid, fine (thirds), or a range such as 4-8.  [default: {default}]",
    )


scale_option = click.option(
    "--scale",
    type=click.IntRange(*RANGES["scale"]),
    help="Enlarge pictures by an integer.  [default: small pictures are enlarged automatically]",
)
of_file_generator_option = _with_download_options(
    click.option(
        "--generator",
        metavar="NAME|PATH|CODE",
        help="Name, path or Python code (my_gan.py:G).  [default: the generator in the file]",
    )
)
directions_argument = click.argument("path", metavar="DIRECTIONS", type=click.Path())
