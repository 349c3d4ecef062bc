"""The one exception family of this package: what a peer's bytes, or a caller's arguments, can be wrong in."""

from typing import ClassVar


class ProtocolError(ValueError):
    """Refuse an input that the protocol does not allow.

    ``code`` is the word that the testee contract uses for the same refusal (testee-operations §1).
    """

    code: ClassVar[str] = "internal"


class InvalidArgument(ProtocolError):
    """Refuse an argument of a wrong type, range or form."""

    code = "invalid_argument"


class InvalidLength(ProtocolError):
    """Refuse bytes that are too short, too long or not a whole number of blocks."""

    code = "invalid_length"


class BadMnemonicWords(ProtocolError):
    """Refuse a recovery password with a number of words that encodes nothing."""

    code = "bad_mnemonic_words"


class BadMnemonicWord(ProtocolError):
    """Refuse a recovery password with an unknown word, or words that encode an impossible number."""

    code = "bad_mnemonic_word"


class BadMnemonicChecksum(ProtocolError):
    """Refuse a recovery password whose last word is not the checksum of the others."""

    code = "bad_mnemonic_checksum"


class InvalidId(ProtocolError):
    """Refuse a text that is no Account ID, group id or blinded id."""

    code = "invalid_id"


class DecryptFailed(ProtocolError):
    """Refuse a ciphertext that does not open with this key."""

    code = "decrypt_failed"


class BadSignature(ProtocolError):
    """Refuse a signature that the claimed key did not make, or a key that can sign nothing."""

    code = "bad_signature"


class BadPadding(ProtocolError):
    """Refuse padding that no producer writes."""

    code = "bad_padding"


class BadFormat(ProtocolError):
    """Refuse bytes that do not parse as what they should be."""

    code = "bad_format"


class UnsupportedVersion(ProtocolError):
    """Refuse a version, an encryption type or a kind that this package does not speak."""

    code = "unsupported_version"


class TooLarge(ProtocolError):
    """Refuse content above the limit that the network sets."""

    code = "too_large"
