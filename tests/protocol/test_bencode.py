"""Bencoding: canonical output, strict input."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session_protocol import bencode
from session_protocol.errors import BadFormat, InvalidArgument, ProtocolError

integers = st.integers(bencode.SMALLEST_INTEGER, bencode.LARGEST_INTEGER)
values = st.recursive(
    integers | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.binary(max_size=8), inner, max_size=5),
    max_leaves=20,
)


@given(values)
def test_what_is_written_is_read_back(value):
    assert bencode.decode(bencode.encode(value)) == value


@given(st.binary(max_size=60))
@example(b"d1:ai1e1:bi2ee")
@example(b"li0ei-1e0:e")
def test_whatever_is_read_was_canonical(data):
    try:
        value = bencode.decode(data)
    except BadFormat:
        return
    assert bencode.encode(value) == data


@given(values, st.data())
def test_truncation_and_additions_are_refused(value, data):
    encoded = bencode.encode(value)
    with pytest.raises(BadFormat):
        bencode.decode(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(BadFormat):
        bencode.decode(encoded + b"e")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, b"i0e"),
        (-42, b"i-42e"),
        (2**64 - 1, b"i18446744073709551615e"),
        (-(2**63), b"i-9223372036854775808e"),
        (True, b"i1e"),
        ("größe", "7:größe".encode()),
        (b"", b"0:"),
        ([], b"le"),
        ({}, b"de"),
        ({"b": 1, "a": [b"x"]}, b"d1:al1:xe1:bi1ee"),
        ({b"\xff": 1, "z": 2}, b"d1:zi2e1:\xffi1ee"),
    ],
)
def test_known_encodings(value, expected):
    assert bencode.encode(value) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"i",
        b"ie",
        b"i-e",
        b"i-0e",
        b"i01e",
        b"i+1e",
        b"i 1e",
        b"i1_0e",
        "i\u0661e".encode(),
        b"i18446744073709551616e",
        b"i-9223372036854775809e",
        b"i" + b"9" * 5000 + b"e",
        b"1",
        b"01:a",
        b"00:",
        b"-1:a",
        b"2:a",
        b":",
        b"99999999999999999999999999:a",
        b"l",
        b"li1e",
        b"d1:ae",
        b"di1ei2ee",
        b"d1:bi1e1:ai2ee",
        b"d1:ai1e1:ai2ee",
        b"e",
        b"x",
        b"i1ei2e",
    ],
)
def test_other_forms_are_refused(data):
    with pytest.raises(BadFormat):
        bencode.decode(data)


def test_depth_is_limited_on_both_ways():
    deepest = b"l" * bencode.MAX_DEPTH + b"e" * bencode.MAX_DEPTH
    assert bencode.encode(bencode.decode(deepest)) == deepest
    with pytest.raises(BadFormat, match="deeper"):
        bencode.decode(b"l" + deepest + b"e")
    with pytest.raises(InvalidArgument, match="levels"):
        bencode.encode([bencode.decode(deepest)])
    with pytest.raises(BadFormat):
        bencode.decode(b"l" * 100_000)


@pytest.mark.parametrize(
    "value", [None, 1.5, 2**64, -(2**63) - 1, {1: 2}, {"a": 1, b"a": 2}, [None], "\ud800"]
)
def test_what_has_no_encoding_is_refused(value):
    with pytest.raises(InvalidArgument):
        bencode.encode(value)


def test_errors_belong_to_the_one_family():
    assert issubclass(BadFormat, ProtocolError)
