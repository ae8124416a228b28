"""The card of a directions file: a README in the format of the Hugging Face Hub, with a picture beside it.

Mitchell et al. 2019, "Model Cards for Model Reporting", https://arxiv.org/abs/1810.03993.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biggan_discovery.directions import Directions
from biggan_discovery.directions.activity import active_first, inactive, stored_changes
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import Estimate
from biggan_discovery.files import atomic_write, check_writable
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.catalogue import BUNDLED
from biggan_discovery.generators.hub import is_address
from biggan_discovery.generators.mixes import class_text, stored_classes
from biggan_discovery.generators.remote import REMOTE
from biggan_discovery.rendering import settings_of
from biggan_discovery.rendering.drawing import draw
from biggan_discovery.rendering.thumbnail import add_thumbnail, thumbnail_png
from biggan_discovery.reports.beside import reported
from biggan_discovery.reports.document import Code, Document, Heading, Picture, Table, Text, shown
from biggan_discovery.search.table import settings_by_user

README = "README.md"
LIBRARY = "biggan-discovery"
_MARK = f"library_name: {LIBRARY}\n"
_BEGINNING = 4096  # bytes of a README, among which is the mark of ours
_MOST_DRAWN, _MOST_LISTED = 8, 200
_SCALE = 4  # of a thumbnail
_LICENCES = (
    *("apache-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "cc", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-4.0"),
    *("cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "gpl-2.0"),
    *("gpl-3.0", "lgpl-2.1", "lgpl-3.0", "mit", "mpl-2.0", "openrail", "unlicense", "wtfpl"),
)
"""Licences that the Hub knows, by its names."""


def write_card(
    directions: Directions,
    generator: FrozenGenerator | None,
    out: str | os.PathLike[str],
    *,
    address: str | None = None,
    command: str | None = None,
    quiet: bool = False,
) -> list[Path]:
    """Write the card of directions, and draw their thumbnail into their metadata.

    The card says what the directions are of, how they were found, by whom, under which licence, what is known of each,
    and what the report beside their file measured. The picture shows the strongest; without a generator, it is the
    thumbnail that the directions already have, if any.

    Args:
        directions: the directions; their thumbnail is changed in place.
        generator: their generator, or None.
        out: the card, usually README.md; the picture is put beside it.
        address: where others find the file, see `generators.hub`. Defaults to the name of their file.
        command: the command line, kept in the picture.
        quiet: show no progress.

    Returns:
        The files: the card, and the picture if there is one.

    Raises:
        UserError: `out` is a file that is not a card, or cannot be written; or the generator does not fit.
        OSError: writing failed.

    Example:
        >>> found = Directions.load("scenes-64")
        >>> [path.name for path in write_card(found, load_generator("scenes-64"), "README.md")]
        ['README.md', 'scenes-64-card.png']
    """
    out = Path(out)
    check_card(out)
    picture = pictured(directions, out)
    if generator is not None:
        rows = _strongest(directions)
        draw(generator, directions, picture, only=rows, command=command, quiet=quiet)
        reach = settings_of(picture)["reach"]
        add_thumbnail(directions, generator, {row: reach[str(row)] for row in rows})
    elif content := thumbnail_png(directions, _SCALE):
        atomic_write(picture, content)
    files = [out, *([picture] if generator is not None or directions.thumbnail else [])]
    atomic_write(out, card_text(directions, address=address, picture=picture.name if len(files) > 1 else None))
    return files


def check_card(path: Path) -> None:
    """Check that a card can be written.

    Raises:
        UserError: it cannot, or there is a file that is not a card.
    """
    check_writable(path)
    if path.is_file() and not is_card(path):
        raise UserError(f"{path} is there and is not a card of directions; choose another --out")


def is_card(path: Path) -> bool:
    """Whether there is a card at a path."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _MARK.encode() in file.read(_BEGINNING)


def everybody_has(generator: str | None) -> bool:
    """Whether a generator is bundled, downloaded by its name, or on the Hub."""
    return generator is not None and (generator in (*BUNDLED, *REMOTE) or is_address(generator))


def pictured(directions: Directions, card: Path) -> Path:
    """The picture of a card of directions."""
    stem = Path(directions.source).stem if directions.source.endswith(".safetensors") else "directions"
    return card.with_name(f"{stem}-card.png")


def card_text(directions: Directions, *, address: str | None = None, picture: str | None = None) -> str:
    """The card as Markdown with a YAML header. Names and notes of strangers are shown as they are.

    Args:
        directions: the directions.
        address: where others find the file.
        picture: name of the picture beside the card.
    """
    known = directions.metadata
    of = Path(known["generator"]).name if known.get("generator") else "a generator"
    document = Document(f"{len(directions)} directions in the latent space of {of}")
    if picture:
        document.add(Picture(picture, "One sample, moved along the strongest directions."))
    document.add(
        *facts(directions),
        *_use(directions, address),
        *table(directions),
        *_figures(directions),
        *_search(directions),
    )
    return f"---\n{''.join(_header(directions))}---\n\n{document.markdown()}"


def _header(directions: Directions) -> Iterator[str]:
    """YAML; strings of strangers are quoted as JSON, which is YAML too."""
    yield _MARK
    licence = directions.metadata.get("licence")
    if licence and licence.lower() in _LICENCES:
        yield f"license: {licence.lower()}\n"
    elif licence:
        yield f"license: other\nlicense_name: {json.dumps(licence)}\n"
    yield "tags:\n- biggan\n- gan\n- latent-space\n- latent-directions\n"


def facts(directions: Directions) -> list[Table]:
    """What directions are of, how they were found and by whom, as a table."""
    known = directions.metadata
    names = known.get("class_names") or []
    rows = {
        "generator": Path(known["generator"]).name if known.get("generator") else None,
        "sha256 of its weights": known.get("generator_sha256"),
        "resolution": known.get("resolution"),
        "truncation": known.get("truncation"),
        "classes": ", ".join(names) if len(names) <= 20 else f"{len(names):,}",
        "layers": directions.layers,
        "method": ", ".join(filter(None, (known.get("method"), known.get("solver")))),
        "author": known.get("author"),
        "licence": known.get("licence"),
        "provenance": known.get("provenance"),
    }
    return [Table(["", ""], [[key, str(value)] for key, value in rows.items() if value], frozenset((0, 1)))]


def _use(directions: Directions, address: str | None) -> list[Any]:
    """Commands that show the directions."""
    file = shlex.quote(address or Path(directions.source).name)
    option = "" if everybody_has(directions.metadata.get("generator")) else " --generator GENERATOR"
    note = (
        [] if not option else [Text("GENERATOR is where you have the generator; its weights are not part of the file.")]
    )
    lines = (f"explore {file}{option}", f"visualize {file}{option} --out directions.mp4")
    return [Heading(2, "Use"), *(Code(f"biggan-discovery {line}") for line in lines), *note]


def table(directions: Directions) -> list[Any]:
    """What is known of each direction, as a table with its heading."""
    idle = set(inactive(stored_changes(directions) or []))
    columns = {
        "name": directions.names,
        "strength": [f"{each:.3g}" for each in directions.strengths or ()],
        "within": [f"{each:.0f}°" for each in directions.error_angles or ()],
        "range": ["" if ends is None else f"{ends[0]:.3g} to {ends[1]:.3g}" for ends in directions.recommended_ranges],
        "note": directions.notes,
    }
    kept = {title: cells for title, cells in columns.items() if any(cells)}
    rows = [
        [f"{row}{' (inactive)' * (row in idle)}", *(cells[row] for cells in kept.values())]
        for row in range(min(len(directions), _MOST_LISTED))
    ]
    words = frozenset(place for place, title in enumerate(kept, start=1) if title in ("name", "note"))
    more = [Text(f"And {len(directions) - _MOST_LISTED:,} more.")] if len(directions) > _MOST_LISTED else []
    return [Heading(2, "Directions"), Table(["direction", *kept], rows, words), *more]


def _figures(directions: Directions) -> list[Any]:
    """What the report beside the file measured, or else what the search did."""
    known, measured = reported(directions), directions.metadata
    if known is not None and known.of_set:
        figures = {title: shown(Estimate(mean, error or 0.0)) for title, (mean, error) in known.of_set.items()}
    else:
        held_out, recovered = measured.get("held_out_penalty", {}), measured.get("recovery", {})
        figures = {f"held-out penalty, {when}": shown(Estimate(*each)) for when, each in held_out.items()}
        figures |= {f"recovery of known factors, {when}": f"{each:.3g}" for when, each in recovered.items()}
    return (
        [Heading(2, "Figures"), Table(["figure", "mean ± standard error"], list(map(list, figures.items())))]
        if figures
        else []
    )


def _search(directions: Directions) -> list[Any]:
    """How the directions were found."""
    known = directions.metadata
    command = search_command(directions)
    if command is None:
        source = known.get("source")
        return [Heading(2, "Origin"), Text(f"Imported from {source}.")] if source else []
    cost = known.get("generator_evaluations")
    cost_text = [Text(f"{cost:,.0f} evaluations of the generator.")] if cost else []
    return [Heading(2, "Search"), Code(command), *cost_text]


def search_command(directions: Directions) -> str | None:
    """The command line of the search that found directions, from their metadata; None if no search did.

    Files and weights that it read are not part of it.
    """
    known = directions.metadata
    method, solver = known.get("method"), known.get("solver")
    users = settings_by_user()
    if method is None or method == "import":
        return None
    own = users[solver or method].own() if (solver or method) in users else {}
    words = ["biggan-discovery", "discover"]
    if known.get("generator"):
        given = known["generator"]
        words += ["--generator", given if is_address(given) else Path(given).name]
    words += ["--method", method, *(["--solver", solver] if solver else [])]
    classes = stored_classes(known.get("classes"))
    if classes and classes != list(range(len(classes))):
        separator = "," if all(isinstance(each, int) for each in classes) else ";"
        words += ["--class", separator.join(map(class_text, classes))]
    if known.get("truncation") not in (None, 1):
        words += ["--truncation", f"{known['truncation']:g}"]
    if directions.layers != "all":
        words += ["--layers", directions.layers]
    if known.get("space"):
        words += ["--space", known["space"]]
    words += ["--seed", str(known.get("seed") or 0)]
    for key, value in known.get("settings", {}).items():
        if (
            key in ("directions", *own)
            and isinstance(value, int | float | str)
            and value != ""
            and not isinstance(value, bool)
        ):
            words += [f"--{key.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _strongest(directions: Directions) -> list[int]:
    changes = stored_changes(directions)
    order = list(range(len(directions))) if changes is None else active_first(changes)
    return [row for row in order if not directions.hidden[row]][:_MOST_DRAWN] or order[:_MOST_DRAWN]
