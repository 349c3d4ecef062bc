"""Recovery passwords: bytes as words of the Electrum/Monero-style lists (client-protocol §1.3).

Words are compared by their first letters only, in any case and with any white space between them.
"""

import unicodedata
import zlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

from session_protocol.errors import (
    BadMnemonicChecksum,
    BadMnemonicWord,
    BadMnemonicWords,
    InvalidArgument,
    InvalidLength,
)

DATA_SIZES: Final = (16, 32, 64)
"""Bytes that a recovery password can hold: an account's entropy, a whole seed, a 64-byte secret key."""

WORD_COUNTS: Final = tuple(size // 4 * 3 + 1 for size in DATA_SIZES)
"""Words for each of them, with the checksum word: 13, 25, 49."""

# Language: letters (code points) by which its words are told apart.
_PREFIX_LENGTHS: Final = MappingProxyType({"english": 3})


@dataclass(frozen=True, slots=True)
class WordList:
    """The words of a language; their first ``prefix_length`` letters are unique."""

    language: str
    words: tuple[str, ...]
    prefix_length: int

    def prefix(self, word: str) -> str:
        """Return the letters of ``word`` that count."""
        return unicodedata.normalize("NFC", word).lower()[: self.prefix_length]


def word_list(language: str = "english") -> WordList:
    """Return the words of a language; InvalidArgument for one that has no list here."""
    if language not in _PREFIX_LENGTHS:
        raise InvalidArgument(f"no word list for {language!r:.40}: there is {', '.join(_PREFIX_LENGTHS)}")
    return _load(language)


def encode(data: bytes, language: str = "english") -> str:
    """Write 16, 32 or 64 bytes as 13, 25 or 49 words, the last a checksum; otherwise InvalidLength."""
    listing = word_list(language)
    if len(data) not in DATA_SIZES:
        raise InvalidLength(f"a recovery password holds 16, 32 or 64 bytes, not {len(data)}")
    words, base = listing.words, len(listing.words)
    chosen: list[str] = []
    for start in range(0, len(data), 4):
        number = int.from_bytes(data[start : start + 4], "little")
        first = number % base
        second = (number // base + first) % base
        third = (number // base // base + second) % base
        chosen += (words[first], words[second], words[third])
    return " ".join([*chosen, chosen[_checksum_place(chosen, listing)]])


def decode(words: str, language: str = "english") -> bytes:
    """Read words back into bytes.

    Raises BadMnemonicWords for another number of words than 13, 25 or 49, BadMnemonicWord for an unknown
    word or three words that stand for more than 32 bits, BadMnemonicChecksum for a wrong last word.
    """
    listing = word_list(language)
    given = words.split()
    if len(given) not in WORD_COUNTS:
        raise BadMnemonicWords(f"a recovery password has 13, 25 or 49 words, not {len(given)}")
    places = _places(language)
    try:
        indices = [places[listing.prefix(word)] for word in given]
    except KeyError as error:
        # The word itself may be part of a secret: only its position is told.
        position = [listing.prefix(word) for word in given].index(error.args[0]) + 1
        raise BadMnemonicWord(f"word {position} is not in the {language} list") from None
    base = len(listing.words)
    data = bytearray()
    for start in range(0, len(indices) - 1, 3):
        first, second, third = indices[start : start + 3]
        number = first + base * ((second - first) % base) + base * base * ((third - second) % base)
        if number >= 1 << 32:
            raise BadMnemonicWord(f"words {start + 1} to {start + 3} stand for more than 32 bits")
        data += number.to_bytes(4, "little")
    body = [listing.words[index] for index in indices[:-1]]
    if indices[-1] != indices[_checksum_place(body, listing)]:
        raise BadMnemonicChecksum("the last word is not the checksum of the words before it")
    return bytes(data)


def _checksum_place(words: list[str], listing: WordList) -> int:
    """Return which of ``words`` is repeated at the end."""
    prefixes = "".join(word[: listing.prefix_length] for word in words)
    return zlib.crc32(prefixes.encode()) % len(words)


@cache
def _load(language: str) -> WordList:
    text = resources.files(__package__).joinpath("wordlists", f"{language}.txt").read_text(encoding="utf-8")
    return WordList(language, tuple(text.split()), _PREFIX_LENGTHS[language])


@cache
def _places(language: str) -> MappingProxyType[str, int]:
    listing = _load(language)
    return MappingProxyType({listing.prefix(word): index for index, word in enumerate(listing.words)})
