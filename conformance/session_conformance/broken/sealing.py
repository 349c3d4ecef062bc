"""Faults in the session protocol and in padding."""

import hashlib
from typing import Any

import nacl.bindings
import nacl.exceptions

from session_conformance.broken.fault import broken
from session_conformance.testees.kit_python.session_testee_kit import Params, Rejected
from session_conformance.testees.reference.testee import ReferenceTestee
from session_protocol import sealing
from session_protocol.accounts import Account, account_id_from_ed25519, parse_account_id
from session_protocol.errors import ProtocolError

# The sender's key and the signature behind every message.
TRAILER_BYTES = 96
SMALL_ORDER = (bytes([1]) + bytes(31), bytes([0xEC]) + b"\xff" * 30 + b"\x7f", bytes(32), bytes(31) + b"\x80")


def open_box(params: Params) -> tuple[Account, bytes, bytes, bytes]:
    """Open a sealed box and split it without judging: recipient, message, sender key, signature."""
    recipient = Account.from_seed(params.hex("recipient_seed"))
    ciphertext = params.hex("ciphertext")
    if len(ciphertext) < sealing.OVERHEAD:
        raise Rejected("invalid_length", "too short")
    try:
        inner = nacl.bindings.crypto_box_seal_open(ciphertext, recipient.x25519_pk, recipient.x25519_sk)
    except nacl.exceptions.CryptoError:
        raise Rejected("decrypt_failed", "the box does not open") from None
    return recipient, inner[:-96], inner[-96:-64], inner[-64:]


def name_of(key: bytes) -> str:
    """Name the account of a key, also of one that belongs to nobody."""
    try:
        return account_id_from_ed25519(key)
    except ProtocolError:
        return "05" + key.hex()


def parts(params: Params) -> tuple[Account, bytes, bytes]:
    """Read sender, recipient key and message of an encryption."""
    return (
        Account.from_seed(params.hex("sender_seed")),
        parse_account_id(params.text("recipient_session_id")),
        params.hex("message_hex"),
    )


def signed(sender: Account, text: bytes) -> bytes:
    """Sign a text."""
    return nacl.bindings.crypto_sign(text, sender.ed25519_sk)[:64]


@broken("signature-unchecked", "sealing")
class SignatureUnchecked(ReferenceTestee):
    """Believe the sender key inside a message without checking its signature."""

    def session_decrypt(self, params: Params) -> dict[str, Any]:
        _, message, key, _ = open_box(params)
        return {"message_hex": message, "sender_session_id": name_of(key)}


@broken("recipient-not-signed", "sealing")
class RecipientNotSigned(ReferenceTestee):
    """Check the signature as if it did not cover the recipient, when it does not hold otherwise."""

    def session_decrypt(self, params: Params) -> dict[str, Any]:
        try:
            return super().session_decrypt(params)
        except ProtocolError:
            _, message, key, signature = open_box(params)
            # A message passed on was signed for another recipient: this testee does not care for whom.
            if message and key not in SMALL_ORDER and signature[63] < 0x20:
                return {"message_hex": message, "sender_session_id": name_of(key)}
            raise


@broken("key-before-message", "sealing")
class KeyBeforeMessage(ReferenceTestee):
    """Put the sender key before the message instead of after it."""

    def session_encrypt(self, params: Params) -> dict[str, Any]:
        sender, recipient, message = parts(params)
        signature = signed(sender, sender.ed25519_pk + message + recipient)
        inner = sender.ed25519_pk + message + signature
        return {"ciphertext": nacl.bindings.crypto_box_seal(inner, recipient)}


@broken("signs-without-recipient", "sealing")
class SignsWithoutRecipient(ReferenceTestee):
    """Sign message and sender key, but not the recipient."""

    def session_encrypt(self, params: Params) -> dict[str, Any]:
        sender, recipient, message = parts(params)
        body = message + sender.ed25519_pk
        return {"ciphertext": nacl.bindings.crypto_box_seal(body + signed(sender, body), recipient)}


@broken("truncation-accepted", "sealing")
class TruncationAccepted(ReferenceTestee):
    """Read a ciphertext that is too short as an empty message."""

    def session_decrypt(self, params: Params) -> dict[str, Any]:
        if len(params.hex("ciphertext")) < sealing.OVERHEAD:
            return {"message_hex": b"", "sender_session_id": "05" + "00" * 32}
        return super().session_decrypt(params)


@broken("short-box-accepted", "sealing")
class ShortBoxAccepted(ReferenceTestee):
    """Read a sealed box that has no room for a signature as an anonymous message."""

    def session_decrypt(self, params: Params) -> dict[str, Any]:
        recipient = Account.from_seed(params.hex("recipient_seed"))
        try:
            return super().session_decrypt(params)
        except ProtocolError:
            try:
                inner = nacl.bindings.crypto_box_seal_open(
                    params.hex("ciphertext"), recipient.x25519_pk, recipient.x25519_sk
                )
            except (nacl.exceptions.CryptoError, ValueError):
                inner = None
            if inner is None or len(inner) >= TRAILER_BYTES:
                raise
            return {"message_hex": inner, "sender_session_id": "05" + "00" * 32}


@broken("decryption-errors-hidden", "sealing")
class DecryptionErrorsHidden(ReferenceTestee):
    """Answer with an empty message when a ciphertext does not open."""

    def session_decrypt(self, params: Params) -> dict[str, Any]:
        try:
            return super().session_decrypt(params)
        except ProtocolError:
            return {"message_hex": b"", "sender_session_id": "05" + "00" * 32}


@broken("ephemeral-key-reused", "sealing")
class EphemeralKeyReused(ReferenceTestee):
    """Use one ephemeral key for all messages to a recipient, and with it one nonce."""

    def session_encrypt(self, params: Params) -> dict[str, Any]:
        _, recipient, _ = parts(params)
        seed = hashlib.blake2b(recipient, digest_size=32).hexdigest()
        return super().session_encrypt(params.changed(ephemeral_seed_hex=seed))


@broken("sender-named-by-signing-key", "sealing")
class SenderNamedBySigningKey(ReferenceTestee):
    """Name the sender by the Ed25519 key instead of the Account ID."""

    def session_decrypt(self, params: Params) -> dict[str, Any]:
        opened = super().session_decrypt(params)
        return {**opened, "sender_session_id": "05" + opened["sender_ed25519"].hex()}


@broken("small-order-senders", "sealing")
class SmallOrderSenders(ReferenceTestee):
    """Accept sender keys of small order, with which nobody signs."""

    def session_decrypt(self, params: Params) -> dict[str, Any]:
        _, message, key, _ = open_box(params)
        if key in SMALL_ORDER:
            return {"message_hex": message, "sender_session_id": "05" + key.hex()}
        return super().session_decrypt(params)


@broken("empty-message-refused", "sealing")
class EmptyMessageRefused(ReferenceTestee):
    """Refuse a sealed message of no bytes."""

    def session_decrypt(self, params: Params) -> dict[str, Any]:
        if len(params.hex("ciphertext")) == sealing.OVERHEAD:
            raise Rejected("invalid_length", "too short")
        return super().session_decrypt(params)


@broken("prefix-stripped-twice", "sealing")
class PrefixStrippedTwice(ReferenceTestee):
    """Take a first key byte of 05 for the prefix of an Account ID, and drop it."""

    def session_encrypt(self, params: Params) -> dict[str, Any]:
        _, recipient, _ = parts(params)
        if recipient[0] == 5:
            raise Rejected("invalid_length", "the key has 31 bytes")
        return super().session_encrypt(params)

    def session_decrypt(self, params: Params) -> dict[str, Any]:
        if Account.from_seed(params.hex("recipient_seed")).x25519_pk[0] == 5:
            raise Rejected("invalid_length", "the key has 31 bytes")
        return super().session_decrypt(params)


@broken("long-messages-cut", "sealing")
class LongMessagesCut(ReferenceTestee):
    """Cut messages at 4,096 bytes."""

    def session_encrypt(self, params: Params) -> dict[str, Any]:
        return super().session_encrypt(params.changed(message_hex=params.text("message_hex")[: 2 * 4_096]))


@broken("no-padding", "padding")
class NoPadding(ReferenceTestee):
    """Add the marker byte, and no zeros after it."""

    def padding_pad(self, params: Params) -> dict[str, Any]:
        return {"padded_hex": params.hex("message_hex") + b"\x80"}


@broken("padding-not-zero", "padding")
class PaddingNotZero(ReferenceTestee):
    """Fill up with bytes that are not zero."""

    def padding_pad(self, params: Params) -> dict[str, Any]:
        padded = super().padding_pad(params)["padded_hex"]
        size = len(params.hex("message_hex"))
        return {"padded_hex": padded[: size + 1] + b"\x01" * (len(padded) - size - 1)}


@broken("padding-stripped-greedily", "padding")
class PaddingStrippedGreedily(ReferenceTestee):
    """Strip every padding byte from the end, also those of the message."""

    def padding_unpad(self, params: Params) -> dict[str, Any]:
        return {"message_hex": params.hex("padded_hex").rstrip(b"\x00\x80")}


@broken("own-padding-only", "padding")
class OwnPaddingOnly(ReferenceTestee):
    """Refuse padding whose length is no multiple of 160."""

    def padding_unpad(self, params: Params) -> dict[str, Any]:
        if len(params.hex("padded_hex")) % 160:
            raise Rejected("bad_padding", "the length is no multiple of 160")
        return super().padding_unpad(params)


@broken("sealing-codes-mixed-up", "sealing", checks=("sealing.refuses*",))
class SealingCodesMixedUp(ReferenceTestee):
    """Call every fault of a ciphertext a wrong format, and declare detailed errors."""

    def session_decrypt(self, params: Params) -> dict[str, Any]:
        try:
            return super().session_decrypt(params)
        except ProtocolError as error:
            raise Rejected("bad_format", str(error)) from error
