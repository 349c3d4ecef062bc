"""Padding of message plaintext: a byte 0x80, then zeros (client-protocol §2.2)."""

from enum import StrEnum
from typing import Final

BLOCK_BYTES: Final = 160
MARKER: Final = b"\x80"


class PaddingRule(StrEnum):
    """Who pads to which length; readers accept them all."""

    LIBSESSION_2025 = "2025"
    """All current apps: a whole number of blocks, one more where the message and its marker fit exactly."""

    LEGACY_159 = "legacy159"
    """Desktop until 2024 and several bots: always one byte short of a whole number of blocks."""

    PLAIN_160 = "plain160"
    """The fewest whole blocks that hold the message and its marker."""


def padded_length(length: int, rule: PaddingRule = PaddingRule.LIBSESSION_2025) -> int:
    """Return what a message of ``length`` bytes is padded to, in bytes."""
    if rule is PaddingRule.LIBSESSION_2025:
        return BLOCK_BYTES * ((length + 1) // BLOCK_BYTES + 1)
    if rule is PaddingRule.LEGACY_159:
        return BLOCK_BYTES * -(-(length + 2) // BLOCK_BYTES) - 1
    return BLOCK_BYTES * -(-(length + 1) // BLOCK_BYTES)


def pad(message: bytes, rule: PaddingRule = PaddingRule.LIBSESSION_2025) -> bytes:
    """Append the marker and the zeros that ``rule`` asks for."""
    return (bytes(message) + MARKER).ljust(padded_length(len(message), rule), b"\x00")


def unpad(padded: bytes) -> bytes:
    """Remove trailing zeros and one marker, as libsession does; what carries no padding stays as it is.

    Nothing is refused: without a marker only the zeros go.
    """
    return bytes(padded).rstrip(b"\x00").removesuffix(MARKER)
