"""`biggan-discovery name`: name directions."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from biggan_discovery import output
from biggan_discovery.cli.options import Grouped, group, of_file_generator_option
from biggan_discovery.errors import UserError
from biggan_discovery.progress import Progress

if TYPE_CHECKING:
    from biggan_discovery.directions import Directions

_EXAMPLES = """
\b
Examples:
  COMMAND runs/demo/directions.safetensors
  COMMAND runs/demo/directions.safetensors 3 "camera height"
  COMMAND runs/demo/directions.safetensors 3 --note "turns at +2" --range -2,3
  COMMAND runs/demo/directions.safetensors --suggest
      name those that match a known factor, or clearly zoom, shift, turn or recolour the image
  COMMAND runs/demo/directions.safetensors --ranges
      measure how far each edit holds
  COMMAND runs/demo/directions.safetensors --author "A. Name" --licence CC-BY-4.0
"""
_WIDTH_OF_KEYS = 11
_MOST_CLASSES = 20


@click.command("name", cls=Grouped, epilog=_EXAMPLES)
@click.argument("file", metavar="DIRECTIONS", type=click.Path(path_type=Path))
@click.argument("direction", required=False)
@click.argument("name", required=False)
@group(
    "Of one direction",
    click.option("--note", metavar="TEXT", help="Note about it; empty to remove."),
    click.option("--range", "ends", metavar="LOW,HIGH", help="Recommended amounts; empty to remove."),
)
@group(
    "Of the file",
    click.option("--suggest", is_flag=True, help="Name directions after known factors, or after edits they make."),
    click.option("--ranges", is_flag=True, help="Measure and recommend how far each direction's edit holds."),
    of_file_generator_option,
    click.option("--author", metavar="TEXT", help="Who found or named them."),
    click.option("--licence", metavar="TEXT", help="Licence of the file."),
)
def name_command(
    file: Path,
    direction: str | None,
    name: str | None,
    note: str | None,
    ends: str | None,
    suggest: bool,
    ranges: bool,
    generator: str | None,
    author: str | None,
    licence: str | None,
) -> None:
    """Name directions, or list what is in a file.

    DIRECTION is a number, or a current name or its beginning. An empty NAME removes the name. Without NAME and options,
    the directions are listed with their strengths.
    """
    from biggan_discovery.directions import Directions, changing

    if direction is None and (note is not None or ends is not None):
        raise UserError("--note and --range are for one direction; give its number or name after the file")
    if suggest and direction is not None:
        raise UserError("--suggest names all directions that it can; leave out DIRECTION and NAME")
    if ranges and direction is not None:
        raise UserError("--ranges measures all directions; leave out DIRECTION and NAME")
    if all(each is None for each in (name, note, ends, author, licence)) and not (suggest or ranges):
        directions = Directions.load(file)
        for line in _listing(directions, None if direction is None else directions.index(direction)):
            output.result(line)
        return
    with changing(file) as directions:
        index = None if direction is None else directions.index(direction)
        if index is not None:
            _change(directions, index, name, note, ends)
        if suggest:
            _suggest(directions, generator)
        if ranges:
            _recommend_ranges(directions, generator)
        directions.credit(author=author, licence=licence)
    if name is not None:
        called = directions.names[index or 0]
        output.status(f"{file}: direction {index} {f'is now {called!r}' if called else 'has no name'}")
    elif ranges:
        for line in _listing(directions, None):
            output.status(line)
    elif not suggest:
        for line in _about(directions) if index is None else _row(directions, index):
            output.status(line)


def _change(directions: Directions, index: int, name: str | None, note: str | None, ends: str | None) -> None:
    if name is not None:
        from biggan_discovery.evaluation.suggestions import is_suggestion

        directions.rename(index, name)
        if is_suggestion(directions.notes[index]):
            directions.annotate(index, "")
    if note is not None:
        directions.annotate(index, note)
    if ends is not None:
        directions.recommend(index, _range(ends))


def _suggest(directions: Directions, generator_name: str | None) -> None:
    from biggan_discovery.directions.defaults import load_generator_for
    from biggan_discovery.evaluation.suggestions import suggest_from_changes, suggest_names, suggestion_cost

    generator = load_generator_for(directions, generator_name, offline=True)  # Nothing is downloaded for this.
    if generator.true_directions is not None:
        named = suggest_names(directions, generator)
        for index in named:
            output.status(f"direction {index}: {directions.names[index]!r}, {directions.notes[index]}")
        if not named:
            output.status("no unnamed direction matches a known factor")
        return
    with Progress(suggestion_cost(directions), "comparing with simple edits", unit="image") as progress:
        suggested = suggest_from_changes(directions, generator, progress=progress)
    for each in suggested:
        about = directions.notes[each.direction] if each.named else f"nearest {each.edit}, cosine {each.cosine:.2f}"
        name = repr(directions.names[each.direction]) if each.named else "unnamed"
        output.status(f"direction {each.direction}: {name}, {about}")
    if not suggested:
        output.status("all directions have names")


def _recommend_ranges(directions: Directions, generator_name: str | None) -> None:
    from biggan_discovery.directions.defaults import load_generator_for
    from biggan_discovery.evaluation.ranges import ranges_cost, recommend_ranges

    generator = load_generator_for(directions, generator_name, offline=True)  # Nothing is downloaded for this.
    with Progress(ranges_cost(directions), "measuring ranges", unit="image") as progress:
        recommend_ranges(directions, generator, progress=progress)


def _range(text: str) -> tuple[float, float] | None:
    if not text.strip():
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError as error:
        raise UserError(f"--range is {text[:60]!r}; write two numbers, such as -2,3") from error
    return low, high


def _listing(directions: Directions, index: int | None) -> list[str]:
    if index is not None:
        return _row(directions, index)
    rows = [line for each in range(len(directions)) for line in _row(directions, each)]
    several = directions.strengths or directions.error_angles or any(_layers(directions))
    title = [_columns(directions, "", "strength", "within", "layers", "name")] if several else []
    about = _about(directions)
    return [*about, *([""] if about else []), *title, *rows]


def _about(directions: Directions) -> list[str]:
    """What the directions are of, a line for each fact."""
    known = directions.metadata
    classes = known.get("class_names") or [str(each) for each in known.get("classes") or []]
    facts = {
        "generator": known.get("generator"),
        "classes": ", ".join(classes) if len(classes) <= _MOST_CLASSES else f"{len(classes):,}",
        "layers": directions.layers if "layers" in known else None,
        "space": known.get("space"),
        "method": ", ".join(filter(None, (known.get("method"), known.get("solver")))),
        "author": known.get("author"),
        "licence": known.get("licence"),
    }
    return [line for key, value in facts.items() if value for line in _wrapped(f"{key:<{_WIDTH_OF_KEYS}}", value)]


def _row(directions: Directions, index: int) -> list[str]:
    """A line for a direction, and lines for its note and range."""
    strength = "" if directions.strengths is None else f"{directions.strengths[index]:.3g}"
    flag = "  (inactive)" if index in _inactive(directions) else ""
    angle = "" if directions.error_angles is None else f"{directions.error_angles[index]:.0f}°"
    layers = _layers(directions)[index]
    room = _width() - len(_columns(directions, "", strength, angle, layers, "")) - len(flag)
    lines = [
        _columns(directions, str(index), strength, angle, layers, _cut(directions.names[index] or "-", room) + flag)
    ]
    indent = " " * (2 + len(str(len(directions) - 1)))
    if directions.notes[index]:
        lines += _wrapped(f"{indent}note: ", directions.notes[index])
    if ends := directions.recommended_ranges[index]:
        lines.append(f"{indent}recommended: {ends[0]:.3g} to {ends[1]:.3g}")
    return lines


def _columns(directions: Directions, number: str, strength: str, angle: str, layers: str, name: str) -> str:
    shown = f"{strength:>9}  " if directions.strengths is not None else ""
    shown += f"{angle:>6}  " if directions.error_angles is not None else ""
    wide = max(map(len, _layers(directions)))
    shown += f"{layers:<{max(wide, len('layers'))}}  " if wide else ""
    return f"{number:>{len(str(len(directions) - 1))}}  {shown}{name}"


def _layers(directions: Directions) -> list[str]:
    """For each direction its layers, or how it is spread over layers; nothing where all are for the same ones."""
    from biggan_discovery.directions.layers import shares_text
    from biggan_discovery.generators.layer_range import EACH

    shares = directions.metadata.get("layer_shares")
    if directions.layers == EACH:
        return [directions.layers_of(row) for row in range(len(directions))]
    return [shares_text(shares, row) if shares else "" for row in range(len(directions))]


def _inactive(directions: Directions) -> list[int]:
    from biggan_discovery.directions.activity import inactive, stored_changes

    return inactive(stored_changes(directions) or [])


def _wrapped(key: str, text: str) -> list[str]:
    return textwrap.wrap(
        output.clean(text), _width(), initial_indent=key, subsequent_indent=" " * len(key), break_long_words=False
    )


def _cut(text: str, room: int) -> str:
    text = output.clean(text)
    return text if len(text) <= max(room, 10) else f"{text[: max(room, 10) - 1]}…"


def _width() -> int:
    """Columns of the terminal; unlimited for programs that read the output."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return shutil.get_terminal_size().columns if known else 10_000
