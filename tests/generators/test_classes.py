from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator, parse_classes
from biggan_discovery.generators.classes import filter_classes
from biggan_discovery.generators.labels import class_list, class_of, labels_of
from biggan_discovery.generators.mixes import stored_classes, to_stored

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
        ("cube:0.25, cone:0.75", [((0, 0.25), (2, 0.75))]),
        ("cube:1,2:3", [((0, 0.25), (2, 0.75))]),  # Weights are divided by their sum.
        ("golden_retriever : 1e-1, 6: .9", [((3, 0.1), (6, 0.9))]),
        ("cube:0.25, cube:0.25, cone:0.5", [((0, 0.5), (2, 0.5))]),
        ("cube:1", [0]),  # One class alone is that class.
        ("cube:2, cone:0", [0]),
        ("cube:0.5,cone:0.5; sphere; 3-4,0", [((0, 0.5), (2, 0.5)), 1, 3, 4, 0]),
        ("cube; cone", [0, 2]),
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
        ("cube:0.5, cone", ["'cone' has no weight", "cone:0.5"]),
        ("cube:0.5, :0.5", ["':0.5' has no weight"]),
        ("cube:half", ["'cube:half'", "'half' is not a weight"]),
        ("cube:-1, cone:2", ["weight of class 0 is -1", "at least 0"]),
        ("cube:nan, cone:2", ["weight of class 0 is nan"]),
        ("cube:inf", ["weight of class 0 is inf"]),
        ("cube:0, cone:0", ["add up to 0", "above 0"]),
        ("cube:0.5, conus:0.5", ["no class 'conus'", "cone"]),
        ("0-2:0.5, cube:0.5", ["0-2 is 3 classes", "a weight of its own"]),
        ("cube:0.5; ", ["empty"]),
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
    assert class_list(generator, [1, 0, 1]) == [1, 0]
    assert class_list(generator, None) == [0, 1]
    assert caplog.messages == []
    for wrong in ([2], 2, -1, [], ["dogs"]):
        with pytest.raises(UserError, match="class"):
            class_list(generator, wrong)


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


def test_a_name_may_contain_a_colon() -> None:
    assert parse_classes(["type:1", "type:2"], "type:2") == [1]
    assert parse_classes(["type:1", "type:2"], "type:2:1, type:1:3") == [((0, 0.75), (1, 0.25))]


def test_weights_are_said_to_be_divided(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    parse_classes(NAMES, "cube:7, cone:3")
    assert caplog.messages == ["class weights add up to 10; they are divided by it", "class cube 0.7 + cone 0.3"]
    caplog.clear()
    parse_classes(NAMES, "cube:0.7, cone:0.2, sphere:0.1")
    assert caplog.messages == ["class cube 0.7 + cone 0.2 + sphere 0.1"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"dog": 1, 1: 3}, [((0, 0.25), (1, 0.75))]),
        ([{"dog": 2}, {"cat": 1, "dog": 1}], [0, ((0, 0.5), (1, 0.5))]),
        ([((0, 0.25), (1, 0.75)), 1], [((0, 0.25), (1, 0.75)), 1]),
        (torch.tensor([[0.5, 1.5], [0.0, 1.0], [0.5, 1.5]]), [((0, 0.5), (1, 1.5)), 1]),
        (np.array([0.25, 0.75]), [((0, 0.25), (1, 0.75))]),
        (np.array([1, 0]), [1, 0]),
        (["cat", 0], [1, 0]),
    ],
)
def test_classes_of_every_form(given: Any, expected: list[Any]) -> None:
    generator = FunctionGenerator(lambda z: z[:, None, None], z_dim=2, class_names=("dog", "cat"))
    found = class_list(generator, given)
    assert found == expected
    assert stored_classes(json.loads(json.dumps(to_stored(found))), 2) == found
    y = labels_of(found, 2)
    assert [class_of(row) for row in y] == found
    assert y.is_floating_point() == any(isinstance(each, tuple) for each in found)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "add up to 0"),
        ({"dog": -1}, "weight of class 0 is -1"),
        ([((2, 1.0),)], "not a soft class"),
        (torch.ones(2, 3), r"classes have shape \(2, 3\); the generator takes weights \(N, 2\)"),
        (torch.full((2, 2), torch.nan), "not all finite"),
        (torch.ones(2, 2) * 1j, "not real numbers"),
    ],
)
def test_bad_classes_of_every_form(given: Any, said: str) -> None:
    generator = FunctionGenerator(lambda z: z[:, None, None], z_dim=2, class_names=("dog", "cat"))
    with pytest.raises(UserError, match=said):
        class_list(generator, given)


@pytest.mark.parametrize(
    "value", [[[[0]]], [[[0, 1.0, 2]]], [[["0", 1.0]]], [[[5, 1.0]]], [0.5], [True], {}, [[[0, True]]]]
)
def test_files_may_say_anything(value: Any) -> None:
    assert stored_classes(value, 5) is None
