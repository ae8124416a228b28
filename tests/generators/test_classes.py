from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator, parse_classes
from biggan_discovery.generators.classes import filter_classes

NAMES = ["cube", "sphere", "cone", "Golden Retriever", "crane", "crane", "t-shirt", "tench, Tinca tinca", "cub"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", [3]),
        (" 3 ", [3]),
        ("2-5", [2, 3, 4, 5]),
        ("2 - 3", [2, 3]),
        ("4-4", [4]),
        ("0,2-3,8", [0, 2, 3, 8]),
        ("3,1,3,0-1", [3, 1, 0]),
        ("all", list(range(9))),
        (" ALL ", list(range(9))),
        ("cone", [2]),
        ("CONE", [2]),
        ("golden_retriever", [3]),
        ("golden-retriever", [3]),
        ("GoldenRetriever", [3]),
        ("golden", [3]),
        ("t shirt", [6]),
        ("tshirt", [6]),
        ("cub", [8]),  # A whole name goes before the beginning of another.
        ("cube,sph , 6", [0, 1, 6]),
        ("tench, tinca tinca", [7]),
        ("tench", [7]),
    ],
)
def test_parse(text: str, expected: list[int]) -> None:
    assert parse_classes(NAMES, text) == expected


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["no class given"]),
        ("  ", ["no class given"]),
        ("9", ["class 9 is out of range", "0-8"]),
        ("-1", ["class -1 is out of range"]),
        ("7-9", ["7-9", "out of range"]),
        ("5-2", ["backwards", "2-5"]),
        ("9" * 10_000, ["out of range"]),
        ("shpere", ["'shpere'", "'sphere'"]),
        ("zebra", ["no class 'zebra'", "lists them"]),
        ("x" * 1000, ["no class 'xxx"]),
        ("crane", ["crane (4)", "crane (5)", "index"]),
        ("c", ["cube (0)", "cone (2)", "index"]),
        ("cube,,cone", ["is empty"]),
        ("cube,", ["is empty"]),
        ("-", ["is empty"]),
        ("1.5", ["no class '1.5'"]),
        ("cube-cone", ["no class 'cube-cone'"]),
    ],
)
def test_bad_classes(text: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse_classes(NAMES, text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 200
    for part in parts:
        assert part in message


def test_generator_is_taken_for_its_names() -> None:
    generator = FunctionGenerator(lambda z: z[:, None, None], z_dim=2, class_names=("dog", "cat"))
    assert parse_classes(generator, "cat,0") == [1, 0]


def test_numbers_are_indices_even_where_names_are_numbers() -> None:
    assert parse_classes([str(index) for index in range(1000)], "1,10-12") == [1, 10, 11, 12]


@given(st.lists(st.integers(0, 8), min_size=1))
def test_lists_come_back_in_order_without_repeats(indices: list[int]) -> None:
    assert parse_classes(NAMES, ",".join(map(str, indices))) == sorted(set(indices), key=indices.index)


@given(st.text())
def test_any_text_gives_classes_or_a_user_error(text: str) -> None:
    try:
        indices = parse_classes(NAMES, text)
    except UserError:
        return
    assert indices
    assert set(indices) <= set(range(9))


def test_filter() -> None:
    assert filter_classes(NAMES, "cub") == [0, 8]
    assert filter_classes(NAMES, "N_r") == [3]
    assert filter_classes(NAMES, "") == list(range(9))
    assert filter_classes(NAMES, "zebra") == []
