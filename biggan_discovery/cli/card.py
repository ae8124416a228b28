"""`biggan-discovery card` and `push`: share a directions file."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from biggan_discovery import output
from biggan_discovery.cli.options import Grouped, group, of_file_generator_option, quiet_option, typed_command
from biggan_discovery.errors import UserError

if TYPE_CHECKING:
    from biggan_discovery.directions import Directions
    from biggan_discovery.generators import FrozenGenerator

_CARD_EXAMPLES = """
\b
Examples:
  COMMAND runs/demo/directions.safetensors
  COMMAND runs/demo --out shared/README.md
"""


@click.command("card", cls=Grouped, epilog=_CARD_EXAMPLES)
@click.argument("path", metavar="DIRECTIONS|RUN", type=click.Path())
@group(
    "Output",
    click.option(
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Card to write.  [default: README.md beside DIRECTIONS]",
    ),
    of_file_generator_option,
    quiet_option,
)
def card_command(path: str, out: Path | None, generator: str | None, quiet: bool) -> None:
    """Write a card of a directions file: a README for the Hugging Face Hub.

    It has a picture of the strongest directions, names and ranges, figures of the report beside the file, author and
    licence (see `name`), and the command of the search. A small picture is put into the directions file too. Without
    the generator, which is not downloaded for this, that one is shown.
    """
    from biggan_discovery.generators.hub import beside
    from biggan_discovery.sharing.card import README, check_card, write_card

    directions, file = _opened(path)
    out = out or beside(file).with_name(README)
    check_card(out)
    network = _generator_of(directions, generator)
    files = write_card(directions, network, out, command=typed_command(), quiet=quiet)
    _keep_thumbnail(directions, file)
    _remark(directions)
    output.status(f"wrote {' and '.join(map(str, files))}")


_PUSH_EXAMPLES = """
\b
Examples:
  COMMAND runs/demo hf://me/scenes
  COMMAND cones.safetensors hf://me/scenes/cones.safetensors --private
"""


@click.command("push", cls=Grouped, epilog=_PUSH_EXAMPLES)
@click.argument("path", metavar="DIRECTIONS|RUN", type=click.Path())
@click.argument("address", metavar="ADDRESS")
@group(
    "Output",
    click.option("--private", is_flag=True, help="Make a new repository private."),
    click.option("--message", metavar="TEXT", help="Message of the commit.  [default: how many directions of what]"),
    of_file_generator_option,
    quiet_option,
)
def push_command(
    path: str, address: str, private: bool, message: str | None, generator: str | None, quiet: bool
) -> None:
    """Put a directions file and its card on the Hugging Face Hub.

    ADDRESS is hf://USER/REPOSITORY or a file in it; hf://USER/REPOSITORY stands for its directions.safetensors.
    Whoever has the generator uses it by this address, as in `visualize ADDRESS`. The card that `card` wrote beside
    DIRECTIONS is taken as it is now; without one, it is made. Log in with `hf auth login`, or set HF_TOKEN. Needs
    huggingface_hub.
    """
    from biggan_discovery.directions.directions import FILE, SUFFIX
    from biggan_discovery.generators.hub import Address, is_address, library
    from biggan_discovery.sharing.push import push

    if not is_address(address):
        raise UserError(f"{address} is not an address on the Hub; write hf://USER/REPOSITORY")
    target = Address.read(address)
    if target.path and not target.path.endswith(SUFFIX):
        raise UserError(f"{target} must end in {SUFFIX}, or be a repository, hf://{target.repo}")
    library()
    directions, file = _opened(path)
    with tempfile.TemporaryDirectory() as folder:
        files = _with_card(directions, file, Path(folder), target, generator, quiet=quiet)
        saved = Path(folder) / FILE
        directions.save(saved)
        named = {target.path or FILE: saved, **{each.name: each for each in files}}
        sizes = ", ".join(f"{name} ({each.stat().st_size / 1e3:.3g} kB)" for name, each in named.items())
        output.message(f"putting {sizes} on the Hub{' in private' if private else ', for everybody to see'}")
        _remark(directions)
        of = Path(directions.metadata.get("generator") or "").name
        message = message or f"{len(directions)} directions{f' of {of}' if of else ''}"
        where = push(named, target, private=private, message=message)
    output.status(f"{where} has it now; try it with: biggan-discovery explore {shlex.quote(str(target))}")


def _opened(path: str) -> tuple[Directions, str]:
    """The directions of a file, or of the folder of a run, and what to call the file."""
    from biggan_discovery.directions import Directions
    from biggan_discovery.directions.directions import FILE

    file = str(Path(path) / FILE) if Path(path).is_dir() else path
    return Directions.load(file), file


def _generator_of(directions: Directions, name: str | None) -> FrozenGenerator | None:
    """The generator of directions if it is here; says so where it is not."""
    from biggan_discovery.directions.defaults import check_fits, load_generator_for

    try:
        generator = load_generator_for(directions, name, offline=True)
        check_fits(directions, generator)
        return generator
    except UserError as error:
        if name is not None:
            raise
        output.message(f"no picture is drawn: {error}")
        return None


def _with_card(
    directions: Directions, file: str, folder: Path, target: object, generator: str | None, *, quiet: bool
) -> list[Path]:
    """The card beside a file with its picture, or a new one in `folder`."""
    from biggan_discovery.generators.hub import is_address
    from biggan_discovery.sharing.card import README, is_card, pictured, write_card

    beside = Path(file).with_name(README)
    if not is_address(file) and is_card(beside):
        picture = pictured(directions, beside)
        return [beside, *([picture] if picture.is_file() else [])]
    network = _generator_of(directions, generator)
    return write_card(directions, network, folder / README, address=str(target), quiet=quiet)


def _keep_thumbnail(directions: Directions, file: str) -> None:
    """Put the thumbnail into the file, if it is one that can be changed."""
    from biggan_discovery.directions import changing
    from biggan_discovery.directions.metadata import THUMBNAIL
    from biggan_discovery.generators.hub import is_address

    if is_address(file) or directions.source != file or THUMBNAIL not in directions.metadata:
        return
    try:
        with changing(file) as kept:
            kept.metadata[THUMBNAIL] = directions.metadata[THUMBNAIL]
    except UserError as error:
        output.message(f"the small picture is not kept: {error}")


def _remark(directions: Directions) -> None:
    """Say what others will miss."""
    from biggan_discovery.sharing.card import everybody_has

    known = directions.metadata
    if not everybody_has(known.get("generator")):
        output.message(f"others need their own copy of the generator, {known.get('generator') or 'which is not named'}")
    missing = [word for word in ("author", "licence") if not known.get(word)]
    if missing:
        options = " ".join(f"--{word} TEXT" for word in missing)
        output.message(f"no {' and no '.join(missing)} is stated; `biggan-discovery name FILE {options}` does")
