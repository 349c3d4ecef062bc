"""Compare contents by what they mean, and know what a testee can express.

Implementations write different bytes for the same content (client-protocol §11); only the meaning is judged.
"""

from collections.abc import Mapping
from typing import Any

from session_conformance import strategies
from session_conformance.contract import Testee

# Fields of a text that a testee may leave out when its `limits` say so; the body is never optional.
OPTIONAL_TEXT_FIELDS = ("attachments", "quote", "preview", "profile", "expiration", "sync_target")


def content_kinds(testee: Testee) -> tuple[str, ...]:
    """Return the everyday kinds of content that the testee can write: all, unless its limits name some."""
    declared = testee.hello.limits.get("content_kinds")
    if declared is None:
        return strategies.CONTENT_KINDS
    return tuple(kind for kind in strategies.CONTENT_KINDS if kind in declared)


def within_limits(testee: Testee, content: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the optional fields that the testee declares it cannot write."""
    fields = testee.hello.limits.get("text_fields")
    if fields is None or content["kind"] != "text":
        return dict(content)
    return {key: value for key, value in content.items() if key in fields or key not in OPTIONAL_TEXT_FIELDS}


def differences(meant: Mapping[str, Any], read: Mapping[str, Any]) -> list[str]:
    """List where ``read`` does not say what was ``meant``; empty when both mean the same.

    A field that is absent, false or empty means the same as no field. What a reader adds at the top (a
    profile it knows, a timestamp) is no difference; what it adds to a pointer, quote or profile is.
    """
    found: list[str] = []
    for key in sorted(meant):
        found += _value_differences(key, meant[key], read.get(key))
    if meant.get("kind") == "text":
        # An attachment, quote or preview out of nowhere changes what a person sees.
        found += [
            f"{key}: nothing was meant, read {read[key]!r}"
            for key in OPTIONAL_TEXT_FIELDS
            if _present(read.get(key)) and not _present(meant.get(key))
        ]
    return found


def _present(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_present(item) for item in value.values()) and value.get("type") != "off"
    return value not in (None, False, "", [], ())


def _value_differences(path: str, meant: object, read: object) -> list[str]:
    if isinstance(meant, Mapping) and isinstance(read, Mapping):
        keys = sorted({*meant, *read})
        return [
            line
            for key in keys
            for line in _value_differences(f"{path}.{key}", meant.get(key), read.get(key))
        ]
    if isinstance(meant, list | tuple) and isinstance(read, list | tuple) and len(meant) == len(read):
        return [
            line
            for index, (left, right) in enumerate(zip(meant, read, strict=True))
            for line in _value_differences(f"{path}[{index}]", left, right)
        ]
    if meant == read or not (_present(meant) or _present(read)):
        return []
    return [f"{path}: meant {meant!r}, read {read!r}"]
