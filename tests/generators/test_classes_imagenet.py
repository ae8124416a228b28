from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_pretrained_biggan.utils import IMAGENET

from biggan_discovery.errors import UserError
from biggan_discovery.generators import parse_classes
from biggan_discovery.generators.classes import (
    describe_class,
    filter_classes,
    imagenet_names,
    imagenet_synonyms,
)
from biggan_discovery.generators.layout import read_class_names

NAMES = imagenet_names()


def _owners() -> dict[str, set[int]]:
    """The classes of a name, ignoring case."""
    owners: dict[str, set[int]] = defaultdict(set)
    for index, names in enumerate(imagenet_synonyms()):
        for name in names:
            owners[name.lower().replace("-", " ")].add(index)
    return owners


def test_order_is_that_of_the_package() -> None:
    # The package's own table goes from the number in the WordNet id to the index.
    assert {int(names[0][1:]): index for index, names in enumerate(imagenet_synonyms())} == IMAGENET


def test_every_wordnet_id_is_its_class() -> None:
    for index, (wordnet_id, *_) in enumerate(imagenet_synonyms()):
        assert parse_classes(NAMES, wordnet_id) == [index]


def test_every_name_is_its_class_or_listed_as_ambiguous() -> None:
    ambiguous = {}
    for name, classes in _owners().items():
        if len(classes) == 1:
            assert parse_classes(NAMES, name) == list(classes)
        else:
            ambiguous[name] = classes
            with pytest.raises(
                UserError, match=", ".join(f".*\\({index}, n[0-9]{{8}}\\)" for index in sorted(classes))
            ):
                parse_classes(NAMES, name)
    assert ambiguous["crane"] == {134, 517}
    assert ambiguous["maillot"] == {638, 639}
    assert len(ambiguous) == 19


@settings(deadline=None)
@given(st.sampled_from([(name, *own) for name, own in _owners().items() if len(own) == 1]), st.data())
def test_spelling_is_free(name_and_index: tuple[str, int], data: st.DataObject) -> None:
    name, index = name_and_index
    typed = "".join(
        data.draw(st.sampled_from([" ", "_", "-", "", "  "]))
        if letter in " -"
        else data.draw(st.sampled_from([letter.lower(), letter.upper()]))
        for letter in name
    )
    assert parse_classes(NAMES, typed) == [index]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("207", [207]),
        ("n02099601", [207]),
        ("N02099601", [207]),
        ("golden_retriever,n01440764,980-982", [207, 0, 980, 981, 982]),
        ("jack o lantern", [607]),
        ("maillot, tank suit", [639]),
        ("Felis concolor", [286]),
        ("all", list(range(1000))),
    ],
)
def test_parse(text: str, expected: list[int]) -> None:
    assert parse_classes(NAMES, text) == expected


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("crane", ["crane (134, n02012849)", "crane (517, n03126707)", "index or WordNet id"]),
        ("retriever", ["no class 'retriever'", "golden retriever (207)", "flat-coated retriever (205)"]),
        ("duck", ["no class 'duck'; one name contains it: duck-billed platypus (103);"]),
        ("deer", ["one name contains it: Scottish deerhound (177)"]),
        ("con", ["boa constrictor (61)", "convertible (511)"]),
        ("dog", ["Maltese dog (153)", "Shetland sheep dog (230)", "hot dog (934)"]),
        ("goldne retriever", ["'golden retriever'"]),
        ("n02099602", ["'n02099602'", "'n02099601'"]),
        ("1000", ["class 1000 is out of range", "0-999"]),
        ("water" + " " * 10_000 + "b", ["no class 'water"]),
        ("a", ["and ", " more; give a full name"]),
    ],
)
def test_bad_classes(text: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse_classes(NAMES, text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    for part in parts:
        assert part in message


EVERYDAY = """
    apple arm baby bag ball bar bear bed bell belt berry bike bird boat book boot bottle bow bowl box boy bread bridge
    brush bug bus butterfly button cake camel camera can candle candy cap car cart cat chair cheese chicken church city
    clock cloud coat coffee coin con cook coral corn cow cup cupboard curtain deer desk dish dog doll door dragon dress
    drum duck eagle ear egg elephant eye face fan farm fence fire fish flag flower fly food foot fork fox frog fruit
    game girl glass goat gold golden goose grape grass guitar gun hair hammer hand hat hawk head helmet hen hippo horse
    house ice insect island jacket jar jeans jet juice kangaroo key keyboard king kitchen kite knife lamb lamp leaf
    lemon leopard lily lizard lock log lorry machine man map mask meat melon milk monkey moon motor mountain mug museum
    mushroom nest net nut oil onion orange oven owl page paint pan paper parrot pasta path pea peach pen pencil penguin
    pepper phone photo piano pie pig pigeon pillow pipe plane plant plate pool potato purse rabbit radio rat ring river
    road robot rock rocket roof room root rope rose rug salad sand scarf school sea seal shark sheep shell ship shirt
    shoe shop shorts shovel sink skate ski skirt snail snake soap sock sofa soup spider spoon squirrel star stone stove
    strawberry sugar sun swan sword table tank tape taxi tea telephone tent tiger tin tomato tool tower town toy train
    tree truck tub turkey turtle umbrella van vase vegetable wall wasp watch water whale wheel window wine wolf woman
    wood wool worm yacht zebra
"""


@pytest.mark.parametrize("word", EVERYDAY.split())
def test_an_everyday_word_is_that_class_or_refused_with_all_that_have_it(word: str) -> None:
    owners = _owners().get(word, set())
    having = {
        index
        for index, (_, *names) in enumerate(imagenet_synonyms())
        if any(re.search(rf"\b{word}\b", name.lower()) for name in names)
    }
    if len(owners) == 1:
        assert parse_classes(NAMES, word) == list(owners)
        return
    with pytest.raises(UserError) as caught:
        parse_classes(NAMES, word)
    listed = {int(index) for index in re.findall(r"\((\d+)(?:, n\d{8})?\)", str(caught.value))}
    assert listed >= (owners or having) or len(listed) == 20


def test_the_prefixes_of_the_case_are_refused() -> None:
    for word in ("duck", "dog", "wolf", "bag", "hat", "piano", "rose", "glass", "deer", "apple", "star"):
        with pytest.raises(UserError, match=f"no class '{word}'"):
            parse_classes(NAMES, word)


def test_search() -> None:
    assert filter_classes(NAMES, "RETRIEVER") == [205, 206, 207, 208, 209]
    assert filter_classes(NAMES, "207") == filter_classes(NAMES, "n02099601") == [207]
    assert filter_classes(NAMES, "puma") == [286]
    assert filter_classes(NAMES, "1000") == []
    assert describe_class(NAMES, 0) == "n01440764  tench, Tinca tinca"
    assert describe_class(("cube", "cone"), 1) == "cone"


def test_a_generator_of_a_thousand_classes_has_these(tmp_path: Path) -> None:
    assert read_class_names(tmp_path, 1000) == NAMES
    assert (NAMES[0], NAMES[207], NAMES[999]) == ("tench", "golden retriever", "toilet tissue")
    (tmp_path / "classes.json").write_text("[" + ",".join(f'"kind {index}"' for index in range(1000)) + "]")
    assert read_class_names(tmp_path, 1000)[207] == "kind 207"
