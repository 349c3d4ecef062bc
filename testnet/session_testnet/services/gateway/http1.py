"""HTTP/1.1 heads and the framing of bodies, as far as a proxy has to understand them: pure functions."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

# Fields that concern one connection only (RFC 9110 §7.6.1). Transfer-Encoding is among them, and is set again
# by what the proxy itself does.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "proxy-connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
    }
)
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VERSION = re.compile(rb"HTTP/1\.[01]")
# What may stand in a request target: visible ASCII; and in a field value: anything but control characters.
_TARGET = re.compile(rb"[\x21-\x7e]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_HOST_NAME = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z_.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\]")


class HeadError(ValueError):
    """Refuse a message that no proxy may pass on; ``status`` is the answer to the client."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """Start line and fields of a request or response; field names keep their case, bytes map to Latin-1."""

    start: tuple[str, str, str]
    fields: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        """Return all values of a field, in order; ``name`` in lower case."""
        return [value for field, value in self.fields if field.lower() == name]

    def tokens(self, name: str) -> list[str]:
        """Return the members of a comma-separated field, lower case."""
        return [
            token.strip().lower()
            for value in self.values(name)
            for token in value.split(",")
            if token.strip()
        ]

    def encode(self) -> bytes:
        """Return the bytes to send, with the empty line that ends a head."""
        lines = [
            " ".join(self.start).rstrip(" "),
            *(f"{name}: {value}" for name, value in self.fields),
            "",
            "",
        ]
        return "\r\n".join(lines).encode("latin-1")

    def for_next_hop(self, *, host: str | None = None, chunked: bool = False) -> "Head":
        """Return the head without fields that concern this connection only (RFC 9110 §7.6.1).

        ``host`` replaces the Host field; ``chunked`` says that the body travels in chunks.
        """
        dropped = _HOP_BY_HOP.union(self.tokens("connection"))
        fields = [(name, value) for name, value in self.fields if name.lower() not in dropped]
        if host is not None:
            fields = [("Host", host), *(each for each in fields if each[0].lower() != "host")]
        if chunked:
            fields.append(("Transfer-Encoding", "chunked"))
        return replace(self, fields=tuple(fields))

    def adding(self, *fields: tuple[str, str]) -> "Head":
        """Return the head with more fields at its end."""
        return replace(self, fields=(*self.fields, *fields))


class Framing(Enum):
    """How the end of a body shows, other than by a known length."""

    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes; ``path`` is the origin form for the server, None for CONNECT."""

    host: str
    port: int
    path: str | None

    @property
    def authority(self) -> str:
        """Return the Host field that the server expects."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == 80 and self.path is not None else f"{shown}:{self.port}"


def parse_request(data: bytes) -> Head:
    """Parse a request head (all bytes up to and with the empty line). Raises HeadError."""
    lines = _lines(data)
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not _TARGET.fullmatch(parts[1]):
        raise HeadError("the request line is not `method target HTTP/1.1`")
    if not _VERSION.fullmatch(parts[2]):
        raise HeadError("this proxy speaks HTTP/1.0 and HTTP/1.1", 505)
    method, target, version = (part.decode("latin-1") for part in parts)
    return Head((method, target, version), _fields(lines[1:]))


def parse_response(data: bytes) -> Head:
    """Parse a response head; ``start`` is (version, status, reason). Raises HeadError with status 502."""
    try:
        lines = _lines(data)
        version, _, rest = lines[0].partition(b" ")
        status, _, reason = rest.partition(b" ")
        if (
            not _VERSION.fullmatch(version)
            or not re.fullmatch(rb"[1-5][0-9][0-9]", status)
            or not _VALUE.fullmatch(reason)
        ):
            raise HeadError("the answer does not start with an HTTP status line")
        fields = _fields(lines[1:])
    except HeadError as error:
        raise HeadError(str(error), 502) from None
    return Head((version.decode(), status.decode(), reason.decode("latin-1")), fields)


def parse_absolute(target: str) -> Target:
    """Split ``http://host[:port]/path``. Raises HeadError for other schemes and malformed authorities."""
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise HeadError("the target is neither a path nor an http:// address")
    if scheme.lower() == "https":
        raise HeadError("an https:// address cannot be asked for in the clear: use CONNECT")
    end = min((rest.index(mark) for mark in "/?#" if mark in rest), default=len(rest))
    host, port = parse_authority(rest[:end], default_port=80)
    path = rest[end:].partition("#")[0]
    return Target(host, port, path if path.startswith("/") else f"/{path}")


def parse_connect(target: str) -> Target:
    """Split the ``host:port`` of a CONNECT request. Raises HeadError."""
    host, port = parse_authority(target, default_port=None)
    return Target(host, port, None)


def parse_authority(text: str, *, default_port: int | None) -> tuple[str, int]:
    """Split ``host[:port]``; the host comes back lower case, without brackets and final dot."""
    if "@" in text:
        raise HeadError("the address carries credentials, which nothing here takes")
    bracketed = text.startswith("[")
    host, closing, tail = text.partition("]") if bracketed else (text, "", "")
    if bracketed:
        host, port_text = host + closing, tail
        if port_text and not port_text.startswith(":"):
            raise HeadError(f"{text!r} is not host:port")
        port_text = port_text[1:]
    else:
        host, _, port_text = text.partition(":")
    if not _HOST_NAME.fullmatch(host):
        raise HeadError(f"{text!r} is not host:port")
    if not port_text:
        if default_port is None:
            raise HeadError(f"{text!r} has no port")
        port = default_port
    else:
        if not re.fullmatch(r"[0-9]{1,5}", port_text) or not 1 <= int(port_text) <= 65535:
            raise HeadError(f"{port_text!r} is not a port")
        port = int(port_text)
    return host.strip("[]").rstrip(".").lower(), port


def request_body(head: Head) -> int | Framing:
    """Return the length of a request's body, or CHUNKED. Raises HeadError for what would be a guess."""
    return _declared_body(head) or 0


def response_body(head: Head, request_method: str) -> int | Framing:
    """Return the length of a response's body, CHUNKED or UNTIL_CLOSE (RFC 9112 §6.3)."""
    status = int(head.start[1])
    if request_method == "HEAD" or status < 200 or status in (204, 304):
        return 0
    try:
        declared = _declared_body(head)
    except HeadError as error:
        raise HeadError(str(error), 502) from None
    return Framing.UNTIL_CLOSE if declared is None else declared


def parse_chunk_size(line: bytes) -> int:
    """Read the line before a chunk, with or without its line end. Raises HeadError."""
    match = _CHUNK_SIZE.fullmatch(line.removesuffix(b"\n").removesuffix(b"\r"))
    if match is None:
        raise HeadError("a chunk does not start with its size")
    return int(match[1], 16)


def keeps_alive(head: Head) -> bool:
    """Tell whether the client's connection outlives this request."""
    wishes = set(head.tokens("connection")) | set(head.tokens("proxy-connection"))
    if head.start[2] == "HTTP/1.0":
        return "keep-alive" in wishes and "close" not in wishes
    return "close" not in wishes


def _declared_body(head: Head) -> int | Framing | None:
    codings, lengths = head.tokens("transfer-encoding"), _lengths(head)
    if codings:
        # Both at once is the root of request smuggling (RFC 9112 §6.1).
        if lengths:
            raise HeadError("the message has both Content-Length and Transfer-Encoding")
        if codings != ["chunked"]:
            raise HeadError(f"transfer coding {', '.join(codings)} is not supported", 501)
        return Framing.CHUNKED
    return lengths.pop() if lengths else None


def _lengths(head: Head) -> set[int]:
    found = {
        part
        for value in head.values("content-length")
        for part in (each.strip() for each in value.split(","))
    }
    if len(found) > 1 or not all(re.fullmatch(r"[0-9]{1,18}", part) for part in found):
        raise HeadError("Content-Length is not one number")
    return {int(part) for part in found}


def _lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\r\n")
    if len(lines) < 3 or lines[-1] or lines[-2]:
        raise HeadError("the head does not end with an empty line")
    return lines[:-2]


def _fields(lines: Iterable[bytes]) -> tuple[tuple[str, str], ...]:
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        # A space before the colon and a folded line are refused rather than read one way or the other (RFC
        # 9112 §5.1).
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise HeadError("a header line is not `name: value`")
        fields.append((name.decode("latin-1"), value.decode("latin-1")))
    return tuple(fields)
