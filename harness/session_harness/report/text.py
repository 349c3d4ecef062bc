"""Make text that a testee had a hand in safe to show: nothing invisible, nothing endless."""

import unicodedata
from typing import Final

# Control characters, lone surrogates, private and unassigned ones, and format characters such as those that
# turn the direction of writing around: none of them may act on a terminal or hide something in a report.
_ACTING: Final = frozenset({"Cc", "Cs", "Cf", "Co", "Cn", "Zl", "Zp"})
_NONCHARACTERS: Final = frozenset({0xFFFE, 0xFFFF})


def visible(text: str) -> str:
    """Return the text, every character that acts rather than shows as an escape; line ends and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) for character in text.replace("\r\n", "\n"))


def one_line(text: str, limit: int = 160) -> str:
    """Return the first line of the text, shortened to ``limit`` characters."""
    first, _, rest = visible(text).strip().partition("\n")
    if len(first) > limit:
        return first[: limit - 1] + "…"
    return f"{first} …" if rest.strip() and len(first) + 2 <= limit else first


def shortened(text: str, limit: int) -> str:
    """Return the text, its middle left out when it is longer than ``limit`` characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def _escape(character: str) -> str:
    if character in "\n\t":
        return character
    code = ord(character)
    if unicodedata.category(character) not in _ACTING and code not in _NONCHARACTERS:
        return character
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
