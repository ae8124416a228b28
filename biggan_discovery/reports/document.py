"""A document of headings, paragraphs, tables and pictures, as Markdown and as HTML."""

from __future__ import annotations

import base64
import csv
import html
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from biggan_discovery.evaluation.estimates import Estimate, Ratio

JSON, MARKDOWN, HTML, FIGURES = "report.json", "report.md", "report.html", "figures"
CSV, LATEX = "report.csv", "report.tex"

# What Markdown gives a meaning to, anywhere and at the beginning of a line; and characters that end a line or
# change the direction of text.
_MARKS = re.compile(r"([\\`*_\[\]<>#|~&$])")
_FIRST_MARKS = re.compile(r"^([-+=]|\d+(?=[.)](?:\s|$)))")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1f2328; background: #fff; max-width: 68rem; margin: 2.5rem auto;
  padding: 0 1.5rem; }
h1 { font-size: 1.9rem; line-height: 1.25; } h2 { margin-top: 2.6rem; border-bottom: 1px solid #d8dee4; }
h3 { margin-top: 2rem; }
.wide { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem; border-bottom: 1px solid #d8dee4; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #8c959f; } th:first-child, td:first-child { text-align: left; }
th.words { text-align: left; } td.words { text-align: left; white-space: normal; min-width: 22rem; color: #59636e; }
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
class Link:
    """A text that leads to a web page."""

    text: str
    address: str


@dataclass(frozen=True)
class Table:
    """Rows of cells, as many as the header; columns in `words` hold sentences."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | Link]]
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

    def html(self, folder: Path) -> str:
        """The document as one HTML page that needs no other file.

        Args:
            folder: where the paths of pictures begin.

        Raises:
            OSError: if a picture cannot be read.
        """
        title = _html_text(self.title)
        head = f'<meta charset="utf-8"><title>{title}</title>'
        head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style>'
        body = "\n".join([f"<h1>{title}</h1>", *(_html(block, folder) for block in self.blocks)])
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
    rows = [[_CONTROLS.sub(" ", _plain(cell)) for cell in row] for row in (table.header, *table.rows)]
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
    marked = _MARKS.sub(r"\\\1", _CONTROLS.sub(" ", text).strip())
    return _FIRST_MARKS.sub(lambda found: f"{found[1]}\\" if found[1].isdigit() else f"\\{found[1]}", marked)


def csv_text(table: Table) -> str:
    """A table as comma-separated values."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(
        [_CONTROLS.sub(" ", _plain(cell)) for cell in row] for row in (table.header, *table.rows)
    )
    return written.getvalue()


def latex(table: Table) -> str:
    """A table as LaTeX of the package booktabs."""
    rows = [" & ".join(_latex(_plain(cell)) for cell in row) + r" \\" for row in (table.header, *table.rows)]
    columns = "".join("l" if column == 0 or column in table.words else "r" for column in range(len(table.header)))
    body = "\n".join(rows[1:])
    return f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{rows[0]}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "↑": r"$\uparrow$",
    "↓": r"$\downarrow$", "–": "--", "η": r"$\eta$", "ε": r"$\varepsilon$", "²": r"\textsuperscript{2}",
    "|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(each, each) for each in _CONTROLS.sub(" ", text))


def _plain(cell: str | Link) -> str:
    return cell.text if isinstance(cell, Link) else cell


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
            cells = [list(map(escaped, header)), marks, *([_markdown_cell(each) for each in row] for row in rows)]
            return "\n".join(f"| {' | '.join(row)} |" for row in cells)
        case Picture(path, caption):
            return f"![{escaped(caption)}]({quote(path)})\n\n*{escaped(caption)}*"


def _markdown_cell(cell: str | Link) -> str:
    return f"[{escaped(cell.text)}]({cell.address})" if isinstance(cell, Link) else escaped(cell)


def _html(block: Block, folder: Path) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{_html_text(text)}</h{level}>"
        case Text(text):
            return f"<p>{_html_text(text)}</p>"
        case Code(text):
            return f"<p><code>{_html_text(text)}</code></p>"
        case Table(header, rows, words):
            head = "".join(
                f'<th class="words">{_html_text(cell)}</th>' if column in words else f"<th>{_html_text(cell)}</th>"
                for column, cell in enumerate(header)
            )
            body = "\n".join(f"<tr>{_cells(row, words)}</tr>" for row in rows)
            return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'
        case Picture(path, caption):
            words = _html_text(caption)
            source = f"data:image/png;base64,{base64.b64encode((folder / path).read_bytes()).decode()}"
            return f'<figure><img src="{source}" alt="{words}"><figcaption>{words}</figcaption></figure>'


def _cells(row: Sequence[str | Link], words: frozenset[int]) -> str:
    return "".join(
        f'<td class="words">{_html_cell(cell)}</td>' if column in words else f"<td>{_html_cell(cell)}</td>"
        for column, cell in enumerate(row)
    )


def _html_cell(cell: str | Link) -> str:
    text = _html_text(_plain(cell))
    return f'<a href="{html.escape(cell.address)}">{text}</a>' if isinstance(cell, Link) else text


def _html_text(text: str) -> str:
    return html.escape(_CONTROLS.sub(" ", text))
