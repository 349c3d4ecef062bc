"""Make genuine artefacts, the same ones for the same seed: what others send to a testee.

Keys and nonces that a sender draws come from the seed and from what is made, not from the operating system:
an example is then the same bytes in every run, also while hypothesis repeats and shrinks it.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from session_protocol import attachments, envelope, messages, onion, sealing
from session_protocol.accounts import SEED_BYTES, Account
from session_protocol.attachments import EncryptedAttachment


class Genuine:
    """Seal, encrypt, wrap and build as a correct client does, with randomness from ``seed``."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __repr__(self) -> str:
        return f"<genuine artefacts of seed {self._seed}>"

    def random_bytes(self, *made_from: object) -> Callable[[int], bytes]:
        """Return a source of bytes that follows from the seed and from the ``repr`` of ``made_from``."""
        source = repr((self._seed, made_from)).encode()
        drawn = 0

        def draw(size: int) -> bytes:
            nonlocal drawn
            drawn += 1
            return hashlib.shake_256(b"%d " % drawn + source).digest(size)

        return draw

    def seal(self, sender: Account, recipient: bytes, message: bytes) -> bytes:
        """Seal a message for an X25519 key (see :func:`session_protocol.sealing.seal`)."""
        draw = self.random_bytes("seal", sender.ed25519_seed, recipient, message)
        return sealing.seal(sender, recipient, message, ephemeral_seed=draw(SEED_BYTES))

    def seal_box(self, inner: bytes, recipient: bytes) -> bytes:
        """Put any bytes into an anonymous box for an X25519 key, as somebody who breaks the rules would."""
        draw = self.random_bytes("box", inner, recipient)
        return sealing.seal_box(inner, recipient, draw(SEED_BYTES))

    def encode_1o1(
        self,
        sender: Account,
        recipient_account_id: str,
        content: Mapping[str, Any],
        timestamp_ms: int,
        **options: Any,
    ) -> bytes:
        """Encode a whole message (see :func:`session_protocol.messages.encode_1o1`)."""
        draw = self.random_bytes(
            "1o1", sender.ed25519_seed, recipient_account_id, content, timestamp_ms, options
        )
        return messages.encode_1o1(
            sender, recipient_account_id, content, timestamp_ms, random_bytes=draw, **options
        )

    def build_envelope(self, ciphertext: bytes, timestamp_ms: int) -> bytes:
        """Put a ciphertext into an Envelope."""
        draw = self.random_bytes("envelope", ciphertext, timestamp_ms)
        return envelope.build_envelope(ciphertext, timestamp_ms, random_bytes=draw)

    def wrap_envelope(self, ciphertext: bytes, timestamp_ms: int) -> bytes:
        """Put a ciphertext into both outer layers."""
        return envelope.wrap_request(self.build_envelope(ciphertext, timestamp_ms))

    def encrypt_legacy(self, data: bytes, *, pad: bool = True) -> EncryptedAttachment:
        """Encrypt an attachment (see :func:`session_protocol.attachments.encrypt_legacy`)."""
        return attachments.encrypt_legacy(
            data, random_bytes=self.random_bytes("attachment", data, pad), pad=pad
        )

    def onion_request(
        self,
        relays: Sequence[onion.Hop],
        destination: onion.NodeDestination,
        payload: bytes,
        enc_type: onion.EncryptionType,
    ) -> onion.BuiltOnion:
        """Build an onion request to a node (see :func:`session_protocol.onion.build`)."""
        draw = self.random_bytes("onion", tuple(relays), destination, payload, enc_type.value)
        return onion.build(relays, destination, payload, enc_type=enc_type, random_bytes=draw)

    def seal_reply(self, reply_key: onion.ReplyKey, plaintext: bytes) -> bytes:
        """Encrypt the answer to an onion request."""
        draw = self.random_bytes("reply", reply_key.key, plaintext)
        return onion.seal_reply(reply_key, plaintext, random_bytes=draw)
