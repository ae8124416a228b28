"""Documents as Markdown and HTML."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from biggan_discovery.evaluation.estimates import Estimate, Ratio
from biggan_discovery.reports.document import (
    Code,
    Document,
    Heading,
    Link,
    Picture,
    Table,
    Text,
    as_text,
    csv_text,
    latex,
    shown,
)

DOCUMENT = Document("A <b> & c")
DOCUMENT.add(
    Heading(2, "Figures"),
    Text("x < y"),
    Code("command --set 'a b'"),
    Table(("name", "value", "note"), [("a|b", "1", "long words")], words=frozenset({2})),
    Picture("figures/a b.png", 'says "hello"'),
)


class Reader(HTMLParser):
    """Collect the visible content, and check that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.sources: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.sources.append(dict(attrs)["src"])
        elif tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_is_well_formed_and_says_what_was_written(tmp_path: Path) -> None:
    reader = Reader()
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a b.png").write_bytes(b"a picture")
    reader.feed(DOCUMENT.html(tmp_path))
    assert reader.open == []
    assert reader.sources == ["data:image/png;base64,YSBwaWN0dXJl"]
    text = " ".join(reader.text)
    for written in ("A <b> & c", "x < y", "command --set 'a b'", "a|b", 'says "hello"'):
        assert written in text


def test_markdown_says_the_same() -> None:
    lines = DOCUMENT.markdown().splitlines()
    assert lines[0] == "# A \\<b\\> \\& c"
    assert "## Figures" in lines
    assert "    command --set 'a b'" in lines
    assert "| a\\|b | 1 | long words |" in lines
    assert "| :-- | --: | :-- |" in lines
    assert '![says "hello"](figures/a%20b.png)' in lines


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        ((1.23456, 0.012), "1.235 ± 0.012"),
        ((0.5, 0.0), "0.5"),
        ((123456.0, 300.0), "1.23e+05 ± 3e+02"),
        ((0.00012, 0.00001), "1.20e-04 ± 1e-05"),
        ((3.0, float("nan")), "3"),
        ((float("nan"), 1.0), "–"),
        ((1234.0, 56.0), "1234 ± 56"),
        ((float("inf"), 1.0), "–"),
        ((2.0, float("inf")), "2"),
    ],
)
def test_figures_are_shown_with_as_many_digits_as_they_are_known_to(estimate: tuple[float, float], text: str) -> None:
    assert shown(Estimate(*estimate)) == text


def test_no_figure_is_a_dash() -> None:
    assert shown(None) == "–"
    assert shown(Ratio(0.5, 0.02, 0.01, 0.01, 8)) == "0.500 ± 0.020"


# What GitHub shows of Markdown: everything a backslash protects, and nothing more.
HOSTILE = "- *a* _b_ <i>c</i> [d](e) `f` g|h #i ~j~ \\k &amp; $m$ \u202e\x1b[31m\r\n# l"


def rendered(markdown: str) -> str:
    """The text behind the escapes; fails where a character that means something is not escaped."""
    left = re.sub(r"\\[^a-z\s]", "", markdown)
    assert re.fullmatch(r"[a-z0-9 ()/;]*", left), left
    return re.sub(r"\\([^a-z\s])", r"\1", markdown)


def test_names_are_shown_as_they_are() -> None:
    expected = "- *a* _b_ <i>c</i> [d](e) `f` g|h #i ~j~ \\k &amp; $m$  [31m # l"
    document = Document(HOSTILE)
    document.add(Heading(2, HOSTILE), Text(HOSTILE), Table((HOSTILE, "x"), [(HOSTILE, "1")]))
    title, heading, text, head, _, row = filter(None, document.markdown().splitlines())
    for line, before, after in (
        (title, "# ", ""), (heading, "## ", ""), (text, "", ""), (head, "| ", " | x |"), (row, "| ", " | 1 |"),
    ):  # fmt: skip
        assert rendered(line.removeprefix(before).removesuffix(after)) == expected


def test_a_table_as_text_is_aligned() -> None:
    table = Table(("metric", "a set"), [("HP", "1.5 ± 0.1"), ("longer one", "2")])
    assert as_text(table).splitlines() == [
        "metric          a set",
        "HP          1.5 ± 0.1",
        "longer one          2",
    ]


@pytest.mark.parametrize("text", ["- a", "+ a", "= a", "1. a", "12) a", "# a", "> a", "* a", "    a", "---", "| a"])
def test_nothing_begins_a_list_a_heading_or_code(text: str) -> None:
    document = Document("t")
    document.add(Text(text))
    line = document.markdown().splitlines()[2]
    assert re.match(r"\\|\d+\\|a$", line), line


def test_links_are_kept_and_their_text_is_escaped(tmp_path: Path) -> None:
    document = Document("t")
    document.add(Table(("a", "b"), [("x", Link("Zhu & <co>", "https://example.org/?a=1&b"))]))
    assert "[Zhu \\& \\<co\\>](https://example.org/?a=1&b)" in document.markdown()
    assert '<a href="https://example.org/?a=1&amp;b">Zhu &amp; &lt;co&gt;</a>' in document.html(tmp_path)


@pytest.mark.parametrize("hostile", ["\x00", "\x1b[31m", "\u202e", "\u2028", "\ud800", "a\nb", "\x85"])
def test_no_control_character_is_written(hostile: str, tmp_path: Path) -> None:
    document = Document(hostile)
    table = Table((hostile, hostile), [(hostile, hostile)])
    document.add(Heading(2, hostile), Text(hostile), Code(hostile), table)
    for written in (document.markdown(), document.html(tmp_path), csv_text(table), latex(table), as_text(table)):
        left = set(written.encode("utf-8").decode()) - {"\n"}
        assert not [each for each in left if not each.isprintable()]
    assert csv_text(table).count("\n") == 2


def test_csv_and_latex_hold_the_same_cells() -> None:
    table = Table(("metric", "a, b"), [('50 % of "x"', "1.5 ± 0.1"), ("|H|_i & η", "–")])
    rows = list(csv.reader(csv_text(table).splitlines()))
    assert rows == [["metric", "a, b"], ['50 % of "x"', "1.5 ± 0.1"], ["|H|_i & η", "–"]]
    assert latex(table).splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"metric & a, b \\",
        r"\midrule",
        r'50 \% of "x" & 1.5 $\pm$ 0.1 \\',
        r"\textbar{}H\textbar{}\_i \& $\eta$ & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
