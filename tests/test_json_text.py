from __future__ import annotations

import codecs
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biggan_discovery.errors import UserError
from biggan_discovery.json_text import parse_json, well_formed

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_json_is_read_as_the_library_reads_it(value: object):
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False)) == value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_encodings_and_byte_order_marks(encoding: str):
    assert parse_json('{"höhe": 1}'.encode(encoding)) == {"höhe": 1}


def test_a_byte_order_mark_in_text():
    assert parse_json(codecs.BOM_UTF8.decode() + "[1]") == [1]


@given(st.text(st.characters(), max_size=20))  # with lone surrogates
def test_halves_of_surrogate_pairs_are_replaced(text: str):
    read = parse_json(json.dumps({text: [text]}))
    ((key, (value,)),) = read.items()
    assert key == value
    assert os.fsdecode(os.fsencode(value)) == value
    well_formed(value).encode()
    if text.isprintable():
        assert value == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"\x80", "not valid JSON"),
        ("1" * 5000, "not valid JSON"),
        ("[" * 10**6, "131,072 lists"),
        ('{"a":' * 65 + "1" + "}" * 65, "64 levels"),
        ("[" * 65 + "]" * 65, "64 levels"),
        ("[" + "0," * 9_000_000 + "0]", "4,194,304"),
    ],
    ids=range(9),
)
def test_bad_json_is_one_short_line(text: str | bytes, said: str):
    with pytest.raises(UserError, match=said) as caught:
        parse_json(text)
    assert len(str(caught.value)) < 300


def test_file_names_that_are_not_utf8_are_kept():
    name = os.fsdecode(b"g\xff")
    assert parse_json(json.dumps([name])) == [name]
    assert well_formed([name]) == ["g\ufffd"]


def test_64_levels_are_read():
    assert parse_json("[" * 64 + "]" * 64)
