from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator, parse_classes
from biggan_discovery.generators.classes import class_indices, filter_classes

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
        ("t shirt", [6]),
        ("tshirt", [6]),
        ("cub", [8]),  # A whole name is not taken for the beginning of another.
        ("cube,sphere , 6", [0, 1, 6]),
        ("tench, tinca tinca", [7]),
        ("tench", [7]),  # Names of one class are separated as in lists of ImageNet's classes.
        ("Tinca tinca", [7]),
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
        ("zebra", ["no class 'zebra'", "lists all"]),
        ("x" * 1000, ["no class 'xxx"]),
        ("crane", ["crane (4)", "crane (5)", "index"]),
        ("c", ["no class 'c'", "cube (0)", "cone (2)", "index"]),
        ("golden", ["no class 'golden'", "one name contains it: Golden Retriever (3)", "full name"]),
        ("retriever", ["one name contains it: Golden Retriever (3)"]),
        ("shirt", ["one name contains it: t-shirt (6)"]),
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
    assert len(message) < 250
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


WORDS = st.sampled_from(["red", "car", "cart", "tart", "art", "dog", "sled", "hot", "wolf"])


@given(st.lists(st.lists(WORDS, min_size=1, max_size=3).map(" ".join), min_size=1, unique=True), WORDS, st.booleans())
def test_a_part_of_a_name_is_never_enough(names: list[str], word: str, cut: bool) -> None:
    text = word[:-1] if cut else word
    if text in names:
        assert parse_classes(names, text) == [names.index(text)]
        return
    with pytest.raises(UserError, match=f"no class '{text}'") as caught:
        parse_classes(names, text)
    having = [f"{name} ({index})" for index, name in enumerate(names) if text in name.split()]
    for each in having[:20]:
        assert each in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cone", "class 2 cone"),
        ("3", "class 3 Golden Retriever"),
        ("cub,0-1", "classes 8 cub, 0 cube, 1 sphere"),
        ("0-6", "classes 0 cube, 1 sphere, 2 cone, 3 Golden Retriever, 4 crane and 2 more"),
    ],
)
def test_the_classes_taken_are_logged(text: str, line: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    parse_classes(NAMES, text)
    assert caplog.messages == [line]


def test_classes_without_names_are_logged_by_index(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    parse_classes([str(index) for index in range(5)], "3,1-2")
    assert caplog.messages == ["classes 3, 1, 2"]


def test_indices_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    generator = FunctionGenerator(lambda z: z[:, None, None], z_dim=2, class_names=("dog", "cat"))
    assert class_indices(generator, [1, 0, 1]) == [1, 0]
    assert class_indices(generator, None) == [0, 1]
    assert caplog.messages == []
    for wrong in ([2], 2, -1, [], ["dogs"]):
        with pytest.raises(UserError, match="class"):
            class_indices(generator, wrong)


def test_messages_name_the_command_for_the_generator_at_hand() -> None:
    generator = FunctionGenerator(lambda z: z[:, None, None], z_dim=2, class_names=("dog", "cat"), name="my pets.py:G")
    with pytest.raises(UserError, match=r"`biggan-discovery classes --generator 'my pets.py:G'` lists all"):
        parse_classes(generator, "horze")
    with pytest.raises(UserError, match=r"`biggan-discovery classes --generator brock-128` lists all"):
        parse_classes(NAMES, "horze", generator="brock-128")


def test_filter() -> None:
    assert filter_classes(NAMES, "cub") == [0, 8]
    assert filter_classes(NAMES, "N_r") == [3]
    assert filter_classes(NAMES, "") == list(range(9))
    assert filter_classes(NAMES, "zebra") == []
