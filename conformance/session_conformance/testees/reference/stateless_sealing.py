"""The session protocol and its padding (testee-operations §2.2)."""

from typing import Any

from session_conformance.testees.kit_python.session_testee_kit import Params, operation
from session_conformance.testees.reference.operations import Operations, account_from
from session_protocol import padding, sealing
from session_protocol.accounts import SEED_BYTES, parse_account_id


class SealingOperations(Operations):
    """Bytes for one recipient."""

    @operation("session.encrypt")
    def session_encrypt(self, params: Params) -> dict[str, Any]:
        """Seal bytes for an Account ID."""
        ciphertext = sealing.seal(
            account_from(params, "sender_seed"),
            parse_account_id(params.text("recipient_session_id")),
            params.hex("message_hex"),
            ephemeral_seed=params.hex("ephemeral_seed_hex", None, length=32) or self.random_bytes(SEED_BYTES),
        )
        return {"ciphertext": ciphertext}

    @operation("session.encrypt_deterministic")
    def session_encrypt_deterministic(self, params: Params) -> dict[str, Any]:
        """Seal bytes so that the same input gives the same output."""
        ciphertext = sealing.seal_deterministic(
            account_from(params, "sender_seed"),
            parse_account_id(params.text("recipient_session_id")),
            params.hex("message_hex"),
        )
        return {"ciphertext": ciphertext}

    @operation("session.decrypt")
    def session_decrypt(self, params: Params) -> dict[str, Any]:
        """Open a sealed message and name its sender."""
        opened = sealing.open_sealed(account_from(params, "recipient_seed"), params.hex("ciphertext"))
        return {
            "message_hex": opened.message,
            "sender_session_id": opened.sender_account_id,
            "sender_ed25519": opened.sender_ed25519,
        }

    @operation("padding.pad")
    def padding_pad(self, params: Params) -> dict[str, Any]:
        """Pad as current apps do."""
        return {"padded_hex": padding.pad(params.hex("message_hex"))}

    @operation("padding.unpad")
    def padding_unpad(self, params: Params) -> dict[str, Any]:
        """Remove the padding of any producer."""
        return {"message_hex": padding.unpad(params.hex("padded_hex"))}
