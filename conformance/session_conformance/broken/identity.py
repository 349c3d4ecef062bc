"""Faults in accounts and recovery passwords."""

from typing import Any

from session_conformance.broken.fault import broken
from session_conformance.testees.kit_python.session_testee_kit import Params, Rejected
from session_conformance.testees.reference.testee import ReferenceTestee
from session_protocol import mnemonic
from session_protocol.accounts import Account
from session_protocol.errors import BadMnemonicChecksum, BadMnemonicWord, ProtocolError


@broken("seed-doubled", "identity")
class SeedDoubled(ReferenceTestee):
    """Fill a 16-byte seed up with itself instead of zeros."""

    def identity_derive(self, params: Params) -> dict[str, Any]:
        seed = params.hex("seed_hex")
        doubled = (seed * 2)[:32] if len(seed) == 16 else seed
        return super().identity_derive(params.changed(seed_hex=doubled.hex()))


@broken("whole-seed-halved", "identity")
class WholeSeedHalved(ReferenceTestee):
    """Use only the first half of a 32-byte seed."""

    def identity_derive(self, params: Params) -> dict[str, Any]:
        seed = params.hex("seed_hex")
        return super().identity_derive(
            params.changed(seed_hex=seed[:16].hex() if len(seed) == 32 else seed.hex())
        )


@broken("seed-of-any-length", "identity")
class SeedOfAnyLength(ReferenceTestee):
    """Cut or fill a seed of any length instead of refusing it."""

    def identity_derive(self, params: Params) -> dict[str, Any]:
        seed = params.hex("seed_hex")
        fitting = seed if len(seed) in (16, 32) else seed[:32].ljust(32, b"\x00")
        return super().identity_derive(params.changed(seed_hex=fitting.hex()))


@broken("same-account-again", "identity")
class SameAccountAgain(ReferenceTestee):
    """Create the same account each time."""

    def identity_generate(self, params: Params) -> dict[str, Any]:
        account = Account.from_seed(bytes(range(16)))
        return {
            "seed_hex": account.entropy,
            "session_id": account.account_id,
            "words": account.recovery_password,
        }


@broken("ids-by-prefix", "identity")
class IdsByPrefix(ReferenceTestee):
    """Take every text that begins with 05 for an Account ID."""

    def identity_validate(self, params: Params) -> dict[str, Any]:
        return {"valid": params.text("session_id").startswith("05")}


@broken("ids-of-any-key", "identity")
class IdsOfAnyKey(ReferenceTestee):
    """Take 66 hexadecimal digits with any prefix for an Account ID."""

    def identity_validate(self, params: Params) -> dict[str, Any]:
        text = params.text("session_id")
        return {"valid": len(text) == 66 and all(digit in "0123456789abcdefABCDEF" for digit in text)}


@broken("ids-in-lower-case-only", "identity")
class IdsInLowerCaseOnly(ReferenceTestee):
    """Reject an Account ID that is written in capitals."""

    def identity_validate(self, params: Params) -> dict[str, Any]:
        text = params.text("session_id")
        return {"valid": False} if text != text.lower() else super().identity_validate(params)


@broken("keys-not-converted", "identity")
class KeysNotConverted(ReferenceTestee):
    """Use an Ed25519 key as an X25519 key, whatever its bytes are."""

    def curve_ed_pk_to_x(self, params: Params) -> dict[str, Any]:
        return {"x25519_pk": params.hex("ed25519_pk")}


@broken("keys-unchecked", "identity")
class KeysUnchecked(ReferenceTestee):
    """Convert bytes that are no key to zeros instead of refusing them."""

    def curve_ed_pk_to_x(self, params: Params) -> dict[str, Any]:
        try:
            return super().curve_ed_pk_to_x(params)
        except ValueError:
            return {"x25519_pk": bytes(32)}


@broken("checksum-word-first", "mnemonic")
class ChecksumWordFirst(ReferenceTestee):
    """Repeat the first word as the checksum word."""

    def mnemonic_encode(self, params: Params) -> dict[str, Any]:
        words = super().mnemonic_encode(params)["words"].split()
        return {"words": " ".join([*words[:-1], words[0]])}


@broken("words-big-endian", "mnemonic")
class WordsBigEndian(ReferenceTestee):
    """Read each group of words with its bytes in reverse order."""

    def mnemonic_decode(self, params: Params) -> dict[str, Any]:
        seed = mnemonic.decode(params.text("words"))
        reversed_groups = b"".join(seed[start : start + 4][::-1] for start in range(0, len(seed), 4))
        return {"seed_hex": reversed_groups, "session_id": Account.from_seed(reversed_groups).account_id}


def with_right_checksum(body: list[str]) -> str:
    """Return words with a fitting checksum word, found by trying each."""
    for word in body:
        try:
            mnemonic.decode(" ".join([*body, word]))
        except BadMnemonicChecksum:
            continue
        return " ".join([*body, word])
    raise AssertionError("one of the words is the checksum")


@broken("checksum-unchecked", "mnemonic")
class ChecksumUnchecked(ReferenceTestee):
    """Accept any last word."""

    def mnemonic_decode(self, params: Params) -> dict[str, Any]:
        words = params.text("words").split()
        if len(words) != 13:
            return super().mnemonic_decode(params)
        return super().mnemonic_decode(params.changed(words=with_right_checksum(words[:-1])))


@broken("unknown-words-ignored", "mnemonic")
class UnknownWordsIgnored(ReferenceTestee):
    """Read an unknown word as the first one of the list."""

    def mnemonic_decode(self, params: Params) -> dict[str, Any]:
        words = params.text("words").split()
        listing = mnemonic.word_list("english")
        known = {word[:3] for word in listing.words}
        replaced = [word if word[:3].lower() in known else listing.words[0] for word in words]
        if replaced == words or len(words) != 13:
            return super().mnemonic_decode(params)
        return super().mnemonic_decode(params.changed(words=with_right_checksum(replaced[:-1])))


@broken("twelve-words-enough", "mnemonic")
class TwelveWordsEnough(ReferenceTestee):
    """Accept twelve words without a checksum word."""

    def mnemonic_decode(self, params: Params) -> dict[str, Any]:
        words = params.text("words").split()
        if len(words) == 12:
            return super().mnemonic_decode(params.changed(words=with_right_checksum(words)))
        return super().mnemonic_decode(params)


@broken("surplus-words-ignored", "mnemonic")
class SurplusWordsIgnored(ReferenceTestee):
    """Ignore words between the twelfth and the last one."""

    def mnemonic_decode(self, params: Params) -> dict[str, Any]:
        words = params.text("words").split()
        return super().mnemonic_decode(params.changed(words=" ".join([*words[:12], *words[12:][-1:]])))


@broken("one-space-only", "mnemonic")
class OneSpaceOnly(ReferenceTestee):
    """Split recovery passwords at single spaces only."""

    def mnemonic_decode(self, params: Params) -> dict[str, Any]:
        if params.text("words").split(" ") != params.text("words").split():
            raise Rejected("bad_mnemonic_words", "there is odd white space between the words")
        return super().mnemonic_decode(params)


@broken("whole-words-only", "mnemonic")
class WholeWordsOnly(ReferenceTestee):
    """Know words only when they are written out."""

    def mnemonic_decode(self, params: Params) -> dict[str, Any]:
        known = set(mnemonic.word_list("english").words)
        for word in params.text("words").split():
            if word not in known:
                raise BadMnemonicWord(f"{word!r} is not in the list")
        return super().mnemonic_decode(params)


@broken("capitals-refused", "mnemonic", checks=("mnemonic.minds_capitals_as_declared",))
class CapitalsRefused(ReferenceTestee):
    """Refuse a recovery password in capitals, and declare that they do not matter."""

    def mnemonic_decode(self, params: Params) -> dict[str, Any]:
        if params.text("words") != params.text("words").lower():
            raise BadMnemonicWord("a word is not in the list")
        return super().mnemonic_decode(params)


@broken("capitals-forgiven", "mnemonic", checks=("mnemonic.minds_capitals_as_declared",))
class CapitalsForgiven(ReferenceTestee):
    """Forgive capitals in a recovery password, and declare that they matter."""

    features = {  # noqa: RUF012
        **ReferenceTestee.features,
        "mnemonic": {**ReferenceTestee.features["mnemonic"], "case_sensitive": True},
    }


@broken("long-passwords-cut", "mnemonic", checks=("mnemonic.restores_every_declared_length",))
class LongPasswordsCut(ReferenceTestee):
    """Restore only the first half of a recovery password of 25 words, and declare that these are taken."""

    def mnemonic_decode(self, params: Params) -> dict[str, Any]:
        restored = super().mnemonic_decode(params)
        return {**restored, "seed_hex": restored["seed_hex"][:16]}


@broken("mnemonic-codes-mixed-up", "mnemonic", checks=("mnemonic.refuses*",))
class MnemonicCodesMixedUp(ReferenceTestee):
    """Call every fault of a recovery password by one name, and declare detailed errors."""

    def mnemonic_decode(self, params: Params) -> dict[str, Any]:
        try:
            return super().mnemonic_decode(params)
        except ProtocolError as error:
            raise Rejected("bad_format", str(error)) from error
