"""Bring what users wrote into a form that a page can show; escaping is the templates' work."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

LONGEST_TEXT: Final = 20_000
"""How many letters of a message are shown; apps send 2,000, or 10,000 with Pro (client-protocol §2.5)."""
LONGEST_LINE: Final = 200
"""How many letters of a name are shown."""
MAX_LINKS: Final = 100

_ADDRESS: Final = re.compile(r"https?://[^\s<>\"'`{}|\\^]+", re.IGNORECASE)
_NOT_PART_OF_AN_ADDRESS: Final = ".,;:!?*_~…"
_BRACKETS: Final = {")": "(", "]": "["}
# Control characters have no picture, and lone surrogates no encoding. The marks that turn the direction of
# writing (U+202A…) stay: a page isolates every text, so that they end where it ends.
_INVISIBLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_INVISIBLE_IN_LINES: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]+"
)
_HOST_NAME: Final = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text; ``link`` is where it leads, empty for text alone."""

    text: str
    link: str = ""


def visible_text(text: str, limit: int = LONGEST_TEXT) -> str:
    """Return a text of several lines, cut to ``limit`` letters, with U+FFFD in place of what cannot show."""
    shown = _INVISIBLE.sub("\ufffd", text[:limit].replace("\r\n", "\n").replace("\r", "\n"))
    left = len(text) - limit
    return f"{shown}… ({left:,} more letters)" if left > 0 else shown


def visible_line(text: str, limit: int = LONGEST_LINE) -> str:
    """Return a text as one line of at most ``limit`` letters, without controls and marks of direction."""
    line = _INVISIBLE_IN_LINES.sub(" ", text[: 4 * limit]).strip()
    return line if len(line) <= limit and len(text) <= 4 * limit else f"{line[:limit].rstrip()}…"


def short_id(session_id: str) -> str:
    """Return the form of an id that fits beside a name."""
    return session_id if len(session_id) <= 12 else f"{session_id[:6]}…{session_id[-4:]}"


def pieces(text: str) -> list[Piece]:
    """Divide a text so that web addresses can be links; the texts of the pieces add up to it."""
    found: list[Piece] = []
    end = links = 0
    for match in _ADDRESS.finditer(text):
        address = _without_tail(match[0])
        if links == MAX_LINKS or not safe_link(address):
            continue
        if match.start() > end:
            found.append(Piece(text[end : match.start()]))
        found.append(Piece(address, address))
        end, links = match.start() + len(address), links + 1
    if end < len(text):
        found.append(Piece(text[end:]))
    return found


def safe_link(address: str) -> str:
    """Return an address that a reader may follow, empty for anything but a plain web address.

    It names a host and no user: ``https://bank.example@evil.example`` leads elsewhere than it looks.
    """
    if _INVISIBLE_IN_LINES.search(address) or not _ADDRESS.fullmatch(address):
        return ""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return ""
    host = parts.hostname or ""
    usable = "@" not in parts.netloc and (port is None or port > 0) and bool(_HOST_NAME.fullmatch(host))
    return address if usable else ""


def size_in_words(size: int) -> str:
    """Return a number of bytes as people say it."""
    if size < 1000:
        return f"{size} B"
    if size < 1_000_000:
        return f"{size / 1000:.0f} kB"
    return f"{size / 1_000_000:.1f} MB"


def _without_tail(address: str) -> str:
    """Leave out punctuation that ends the sentence, and a bracket that was opened before the address."""
    while address:
        last = address[-1]
        opening = _BRACKETS.get(last)
        unbalanced = opening is not None and address.count(last) > address.count(opening)
        if last not in _NOT_PART_OF_AN_ADDRESS and not unbalanced:
            break
        address = address[:-1]
    return address
