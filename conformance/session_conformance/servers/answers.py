"""What a server answered, with the assertions that all suites for servers share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from session_conformance.contract.messages import shorten
from session_conformance.contract.testee import Testee
from session_conformance.servers.testee import REQUEST


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold one answer; header names are in lower case. ``asked`` says to what, for failures."""

    asked: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def media_type(self) -> str:
        """Return the content type without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """Return the JSON of the body; anything else fails the check."""
        try:
            return _told(orjson.loads(self.body))
        except orjson.JSONDecodeError:
            raise AssertionError(f"{self.asked} was answered with what is no JSON: {self}") from None

    def expect(self, *statuses: int) -> "Answer":
        """Return the answer; another status fails the check."""
        wanted = " or ".join(map(str, statuses))
        assert self.status in statuses, f"{self.asked} was answered {self}, expected {wanted}"
        return self

    def ok(self) -> Any:
        """Return the JSON of a success; anything else fails the check."""
        return self.expect(200).json()

    def __str__(self) -> str:
        return f"{self.status} {shorten(self.text)!r}"


class Told(dict[str, Any]):
    """Hold an object of an answer; a member that should be there and is not fails the check."""

    def __missing__(self, name: str) -> Any:
        raise AssertionError(f"the answer has no {name!r}: {shorten(repr(dict(self)))}")


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return Told({name: _told(each) for name, each in value.items()})
    return [_told(each) for each in value] if isinstance(value, list) else value


def ask(
    server: Testee,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    control: bool = False,
    asked: str = "",
) -> Answer:
    """Send one request to a judged server."""
    result = server.call(
        REQUEST, method=method, url=url, headers=dict(headers or {}), body=body, control=control
    )
    return Answer(
        asked or f"{method} {url.partition('//')[2].partition('/')[2]}",
        result["status"],
        result["headers"],
        result["body"],
    )


def only(values: Any) -> Any:
    """Return the one element of a list; another number of them fails the check."""
    assert isinstance(values, list), f"a list was expected, not {shorten(repr(values))}"
    assert len(values) == 1, f"one element was expected, not {len(values)}: {shorten(repr(values))}"
    return values[0]


def member(value: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    """Return a member of an answer; a missing one, or another type, fails the check."""
    assert isinstance(value, dict), f"an object was expected, not {shorten(repr(value))}"
    assert name in value, f"the answer has no {name!r}: {shorten(repr(value))}"
    found = value[name]
    right = isinstance(found, kind) and (not isinstance(found, bool) or bool in _kinds(kind))
    assert right, f"{name!r} is {shorten(repr(found))}, of the wrong type"
    return found


def _kinds(kind: type | tuple[type, ...]) -> tuple[type, ...]:
    return kind if isinstance(kind, tuple) else (kind,)
