"""The messages of the contract as values, and the making and reading of lines (testee-operations §1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from session_conformance.contract.errors import (
    AdapterFault,
    ContractViolation,
    Rejected,
    TesteeError,
    Unsupported,
)

CONTRACT_VERSION: Final = 1
MAX_LINE_BYTES: Final = 16 * 1024 * 1024
SHOWN_CHARACTERS: Final = 400

REJECTION_CODES: Final = (
    "invalid_argument",
    "invalid_length",
    "bad_mnemonic_words",
    "bad_mnemonic_word",
    "bad_mnemonic_checksum",
    "invalid_id",
    "decrypt_failed",
    "bad_signature",
    "bad_padding",
    "bad_format",
    "unsupported_version",
    "not_found",
    "unauthorized",
    "network_error",
    "wrong_swarm",
    "clock_skew",
    "too_large",
    "internal",
)
"""The codes of a ``rejected`` answer, a closed set (testee-operations §1)."""


class Result(dict[str, Any]):
    """Hold the fields of a result; a field that should be there and is not breaks the contract.

    ``op`` names the operation for that message, ``participant`` whose result it is when it is not the judged
    testee's; ``result.get(name)`` reads an optional field.
    """

    __slots__ = ("op", "participant")

    def __init__(self, op: str, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.op = op
        self.participant = ""

    def __missing__(self, key: str) -> Any:
        violation = ContractViolation(
            f"the result of {self.op} has no field {key!r}; it has: {', '.join(map(repr, self)) or 'none'}",
            line=shorten(orjson.dumps(self)),
        )
        violation.participant = self.participant
        raise violation


@dataclass(frozen=True, slots=True)
class Hello:
    """Say who a testee is and what it can do (testee-operations §1.1)."""

    name: str
    version: str
    language: str
    operations: frozenset[str]
    features: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    homepage: str = ""
    issues: str = ""

    @property
    def parallel(self) -> int:
        """Return how many requests may be open at once (``limits.parallel``, default 1)."""
        declared = self.limits.get("parallel", 1)
        return max(1, declared) if type(declared) is int else 1

    def feature(self, path: str, default: Any = None) -> Any:
        """Return a declared feature by its dotted name, such as ``envelope.prosig``."""
        value: Any = self.features
        for step in path.split("."):
            if not isinstance(value, Mapping) or step not in value:
                return default
            value = value[step]
        return value

    def as_json(self) -> dict[str, Any]:
        """Return the answer in the form that reports carry."""
        return {
            "name": self.name,
            "version": self.version,
            "language": self.language,
            "operations": sorted(self.operations),
            "features": dict(self.features),
            "limits": dict(self.limits),
            "homepage": self.homepage,
            "issues": self.issues,
        }

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> "Hello":
        """Read the result of ``hello``; raise ContractViolation with the field that is wrong."""

        def read(name: str, kind: type, default: Any = None) -> Any:
            value = result.get(name, default)
            if value is None:
                raise ContractViolation(
                    f"hello: the field {name!r} is missing", line=shorten(orjson.dumps(result))
                )
            if not isinstance(value, kind):
                raise ContractViolation(
                    f"hello: the field {name!r} should be a JSON {_JSON_NAMES[kind]}, not {value!r}",
                    line=shorten(orjson.dumps(result)),
                )
            return value

        contract = result.get("contract")
        if type(contract) is not int or contract != CONTRACT_VERSION:
            raise ContractViolation(
                f"hello: the testee speaks contract {contract!r}, this judge speaks {CONTRACT_VERSION}",
                hint=f'answer hello with "contract": {CONTRACT_VERSION}',
            )
        operations = read("operations", list)
        strange = [name for name in operations if not isinstance(name, str)]
        if strange:
            raise ContractViolation(f"hello: operations should be names, not {strange[0]!r}")
        return cls(
            name=read("name", str),
            version=read("version", str),
            language=read("language", str, ""),
            operations=frozenset(operations),
            features=read("features", dict, {}),
            limits=read("limits", dict, {}),
            homepage=read("homepage", str, ""),
            issues=read("issues", str, ""),
        )


_JSON_NAMES: Final[Mapping[type, str]] = {str: "string", list: "array", dict: "object"}


@dataclass(frozen=True, slots=True)
class Event:
    """Hold one unsolicited message: a push of the network, or a log line."""

    kind: str
    account: str | None
    data: Mapping[str, Any]


class Exchange(NamedTuple):
    """Hold one request and its reply as they stood on the wire; an empty reply means that none came."""

    at_s: float  # on the monotonic clock of this machine
    seconds: float
    sent: bytes
    received: bytes

    @property
    def request(self) -> Any:
        """Return the parsed request."""
        return orjson.loads(self.sent)

    def as_json(self, since_s: float = 0.0) -> dict[str, Any]:
        """Return the form of ``transcript.jsonl``: parsed where possible, shortened text otherwise."""
        return {
            "t_ms": round((self.at_s - since_s) * 1000, 3),
            "took_ms": round(self.seconds * 1000, 3),
            "request": _parsed_or_text(self.sent),
            "reply": _parsed_or_text(self.received) if self.received else None,
        }


def _parsed_or_text(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return shorten(line)


def shorten(text: bytes | str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return text fit for an error message: one printable line, with the size of what was cut."""
    unit = "bytes" if isinstance(text, bytes) else "characters"
    size = len(text)
    if isinstance(text, bytes):
        text = text[: limit * 4].decode("utf-8", "backslashreplace")
    text = text.rstrip("\r\n")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:limit])
    return shown if len(text) <= limit else f"{shown}… ({size} {unit} in all)"


def encode_request(request: Mapping[str, Any]) -> bytes:
    """Return the line of a request; a value that JSON cannot carry is the caller's TypeError."""
    return orjson.dumps(request, option=orjson.OPT_APPEND_NEWLINE)


def request_object(
    request_id: int, op: str, account: str | None, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the object of a request; ``account`` only where an operation is stateful."""
    request: dict[str, Any] = {"id": request_id, "op": op, "params": params}
    if account is not None:
        request["account"] = account
    return request


def parse_line(line: bytes) -> dict[str, Any]:
    """Parse one line of a testee's stdout; raise ContractViolation for anything but a JSON object."""
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ContractViolation(
            f"stdout carries something that is not JSON ({error})",
            line=shorten(line) or "(an empty line)",
            hint="stdout is for replies only, one JSON object a line; print to stderr instead",
        ) from None
    if type(message) is not dict:
        raise ContractViolation(
            f"stdout carries JSON that is not an object but {type(message).__name__}",
            line=shorten(line),
            hint="every line is a reply with an id, or an event",
        )
    return message


def parse_event(message: Mapping[str, Any], line: bytes) -> Event:
    """Read an unsolicited message; raise ContractViolation when it is neither a reply nor an event."""
    kind = message.get("event")
    if not isinstance(kind, str):
        raise ContractViolation(
            "stdout carries an object with neither an id nor an event name",
            line=shorten(line),
            hint="echo the id of the request in its reply",
        )
    account = message.get("account")
    data = message.get("data")
    if kind == "log":
        data = {name: value for name, value in message.items() if name in {"level", "message"}}
    return Event(
        kind,
        account if isinstance(account, str) else None,
        data if isinstance(data, dict) else {},
    )


def read_answer(op: str, reply: Mapping[str, Any], line: bytes) -> Result | TesteeError:
    """Return the result of a reply or the error that it carries; raise ContractViolation for neither."""
    if "result" in reply:
        result = reply["result"]
        if type(result) is not dict:
            raise ContractViolation(
                f"the result of {op} is not a JSON object",
                line=shorten(line),
                hint='no output is "result": {}',
            )
        if reply.get("error") is not None:
            raise ContractViolation(f"the reply to {op} has both a result and an error", line=shorten(line))
        return Result(op, result)
    error = reply.get("error")
    if not isinstance(error, dict):
        raise ContractViolation(f"the reply to {op} has neither a result nor an error", line=shorten(line))
    message = str(error.get("message") or "")
    data = error.get("data") if isinstance(error.get("data"), dict) else None
    match error.get("kind"):
        case "rejected":
            code = error.get("code")
            if not isinstance(code, str):
                raise ContractViolation(f"the refusal of {op} has no code", line=shorten(line))
            return Rejected(op, code, message, data)
        case "unsupported":
            return Unsupported(op, message)
        case "adapter":
            return AdapterFault(op, message or "no message", data)
        case kind:
            raise ContractViolation(
                f"the error of {op} has the unknown kind {kind!r}",
                line=shorten(line),
                hint="the kinds are rejected, unsupported and adapter",
            )
