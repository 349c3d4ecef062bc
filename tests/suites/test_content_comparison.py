"""Contents are compared by what they mean."""

from typing import Any

import pytest
from hypothesis import given, settings

from session_conformance import strategies
from session_conformance.content_comparison import differences


@settings(deadline=None, derandomize=True)
@given(content=strategies.contents())
def test_content_means_the_same_as_itself(content: dict[str, Any]) -> None:
    assert differences(content, dict(content)) == []


@pytest.mark.parametrize(
    ("meant", "read"),
    [
        ({"kind": "text", "body": "x"}, {"kind": "text", "body": "x", "attachments": []}),
        ({"kind": "text", "body": "x"}, {"kind": "text", "body": "x", "timestamp_ms": 5}),
        ({"kind": "text", "body": "x", "expiration": {"type": "off"}}, {"kind": "text", "body": "x"}),
        ({"kind": "reaction", "remove": False}, {"kind": "reaction"}),
    ],
)
def test_what_is_absent_means_what_is_empty(meant: dict[str, Any], read: dict[str, Any]) -> None:
    assert differences(meant, read) == []


@pytest.mark.parametrize(
    ("meant", "read", "where"),
    [
        ({"kind": "text", "body": "x"}, {"kind": "text", "body": "y"}, "body"),
        ({"kind": "text", "body": "x"}, {"kind": "reaction"}, "body"),
        (
            {"kind": "text", "body": "x"},
            {"kind": "text", "body": "x", "quote": {"timestamp_ms": 1, "author": "a"}},
            "quote",
        ),
        (
            {"kind": "text", "body": "x", "attachments": [{"size": 1}]},
            {"kind": "text", "body": "x", "attachments": [{"size": 2}]},
            r"attachments\[0\]\.size",
        ),
        (
            {"kind": "text", "body": "x", "attachments": [{"size": 1}]},
            {"kind": "text", "body": "x", "attachments": [{"size": 1}, {"size": 1}]},
            "attachments",
        ),
        ({"kind": "receipt", "read_ms": [1, 2]}, {"kind": "receipt", "read_ms": [2, 1]}, r"read_ms\[0\]"),
        ({"kind": "typing", "started": True}, {"kind": "typing"}, "started"),
    ],
)
def test_another_meaning_is_named_by_its_place(
    meant: dict[str, Any], read: dict[str, Any], where: str
) -> None:
    import re

    found = differences(meant, read)
    assert any(re.match(where, line) for line in found), found
