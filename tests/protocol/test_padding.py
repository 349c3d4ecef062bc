"""Padding: three producers, one reader."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from session_protocol import padding
from session_protocol.padding import PaddingRule

deterministic = settings(derandomize=True, deadline=None)
rules = st.sampled_from(PaddingRule)


@deterministic
@given(st.binary(max_size=700), rules)
def test_padding_comes_off(message: bytes, rule: PaddingRule) -> None:
    padded = padding.pad(message, rule)
    assert len(padded) == padding.padded_length(len(message), rule)
    assert padded == message + b"\x80" + bytes(len(padded) - len(message) - 1)
    assert padding.unpad(padded) == message


@deterministic
@given(st.binary(max_size=50), st.lists(st.sampled_from([b"\0", b"\x80"])).map(b"".join), rules)
def test_padding_bytes_of_the_message_stay(message: bytes, tail: bytes, rule: PaddingRule) -> None:
    assert padding.unpad(padding.pad(message + tail, rule)) == message + tail


@deterministic
@given(st.integers(0, 100_000))
def test_lengths_follow_their_rules(size: int) -> None:
    current, legacy, plain = (padding.padded_length(size, rule) for rule in PaddingRule)
    assert current % 160 == plain % 160 == 0
    assert legacy % 160 == 159
    for length in (current, legacy, plain):
        assert size < length <= size + 161
    assert plain == size + 1 + -(size + 1) % 160


@pytest.mark.parametrize(
    ("size", "lengths"),
    [
        (0, (160, 159, 160)),
        (157, (160, 159, 160)),
        (158, (160, 159, 160)),
        (159, (320, 319, 160)),
        (160, (320, 319, 320)),
        (318, (320, 319, 320)),
        (319, (480, 479, 320)),
    ],
)
def test_lengths_at_the_steps(size: int, lengths: tuple[int, int, int]) -> None:
    assert tuple(padding.padded_length(size, rule) for rule in PaddingRule) == lengths


@deterministic
@given(st.binary(max_size=60))
@example(b"")
@example(b"\0\0")
@example(b"\x80")
@example(b"\x80\x80")
@example(b"text")
@example(b"text\0")
def test_any_bytes_unpad_to_a_beginning_of_themselves(data: bytes) -> None:
    rest = padding.unpad(data)
    assert data.startswith(rest)
    removed = data[len(rest) :]
    assert removed.count(b"\x80") <= 1
    assert removed.strip(b"\0") in (b"", b"\x80")
    # Only one marker is taken, and without one no byte but zeros.
    assert b"\x80" in removed or not rest.endswith((b"\0", b"\x80"))


def test_writers_pad_as_current_apps_unless_told() -> None:
    assert padding.pad(b"x") == padding.pad(b"x", PaddingRule.LIBSESSION_2025)
    assert padding.padded_length(159) == 320
