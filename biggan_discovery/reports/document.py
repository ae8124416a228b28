"""A document of headings, paragraphs, tables and pictures, as Markdown and as HTML."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from biggan_discovery.evaluation.estimates import Estimate, Ratio

JSON, MARKDOWN, HTML, FIGURES = "report.json", "report.md", "report.html", "figures"

# What Markdown gives a meaning to, and characters that a terminal would act on.
_MARKS = re.compile(r"([\\`*_\[\]<>#|~])")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1f2328; background: #fff; max-width: 68rem; margin: 2.5rem auto;
  padding: 0 1.5rem; }
h1 { font-size: 1.9rem; line-height: 1.25; } h2 { margin-top: 2.6rem; border-bottom: 1px solid #d8dee4; }
h3 { margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem; border-bottom: 1px solid #d8dee4; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #8c959f; } th:first-child, td:first-child { text-align: left; }
td.words { text-align: left; white-space: normal; min-width: 22rem; color: #59636e; }
figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; }
figcaption { color: #59636e; font-size: .9rem; }
code { background: #f3f4f6; padding: .1rem .3rem; border-radius: .25rem; }
"""


@dataclass(frozen=True)
class Heading:
    """A heading of level 1 to 3."""

    level: int
    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Code:
    """A command, as it was given."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells, as many as the header; columns in `words` hold sentences."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Picture:
    """A picture beside the document, by its relative path."""

    path: str
    caption: str


Block = Heading | Text | Code | Table | Picture


@dataclass
class Document:
    """Blocks in order."""

    title: str
    blocks: list[Block] = field(default_factory=list)

    def add(self, *blocks: Block) -> None:
        """Append blocks."""
        self.blocks.extend(blocks)

    def markdown(self) -> str:
        """The document in GitHub's Markdown."""
        return "\n\n".join([f"# {escaped(self.title)}", *map(_markdown, self.blocks)]) + "\n"

    def html(self) -> str:
        """The document as one HTML page; pictures stay beside it."""
        title = html.escape(self.title)
        head = f'<meta charset="utf-8"><title>{title}</title>'
        head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style>'
        body = "\n".join([f"<h1>{title}</h1>", *map(_html, self.blocks)])
        return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def shown(figure: Estimate | Ratio | None) -> str:
    """A figure with its standard error, with as many digits as are significant."""
    if figure is None or not math.isfinite(figure.mean):
        return "–"
    mean, error = figure.mean, figure.standard_error
    if not error or not math.isfinite(error):
        return f"{mean:.4g}"
    digits = min(max(0, 1 - math.floor(math.log10(error))), 6)
    if abs(mean) >= 1e5 or (mean and abs(mean) < 1e-3):
        return f"{mean:.2e} ± {error:.0e}"
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


def as_text(table: Table) -> str:
    """A table as lines of text with aligned columns, the first to the left and the others to the right."""
    rows = [[_CONTROLS.sub(" ", cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def escaped(text: str) -> str:
    """A text as Markdown that shows it as it is."""
    return _MARKS.sub(r"\\\1", _CONTROLS.sub(" ", text))


def _markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {escaped(text)}"
        case Text(text):
            return escaped(text)
        case Code(text):
            return f"    {_CONTROLS.sub(' ', text)}"
        case Table(header, rows, words):
            marks = [":--" if column == 0 or column in words else "--:" for column in range(len(header))]
            cells = [list(map(escaped, header)), marks, *(list(map(escaped, row)) for row in rows)]
            return "\n".join(f"| {' | '.join(row)} |" for row in cells)
        case Picture(path, caption):
            return f"![{escaped(caption)}]({quote(path)})\n\n*{escaped(caption)}*"


def _html(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Text(text):
            return f"<p>{html.escape(text)}</p>"
        case Code(text):
            return f"<p><code>{html.escape(text)}</code></p>"
        case Table(header, rows, words):
            head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
            body = "\n".join(f"<tr>{_cells(row, words)}</tr>" for row in rows)
            return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'
        case Picture(path, caption):
            words = html.escape(caption)
            source = html.escape(quote(path))
            return f'<figure><img src="{source}" alt="{words}"><figcaption>{words}</figcaption></figure>'


def _cells(row: Sequence[str], words: frozenset[int]) -> str:
    return "".join(
        f'<td class="words">{html.escape(cell)}</td>' if column in words else f"<td>{html.escape(cell)}</td>"
        for column, cell in enumerate(row)
    )
