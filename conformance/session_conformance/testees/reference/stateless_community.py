"""Blinding and community messages (testee-operations §2.4)."""

from typing import Any

from session_conformance.testees.kit_python.session_testee_kit import Params, operation
from session_conformance.testees.reference.operations import (
    Operations,
    account_from,
    base64_from,
    base64_text,
)
from session_protocol import blinded_messages, blinding, community, content, padding


class CommunityOperations(Operations):
    """An account towards a community server, whose X25519 key is ``server_pk``."""

    @operation("blind15.key")
    def blind15_key(self, params: Params) -> dict[str, Any]:
        """Derive the key pair of version 15."""
        key = blinding.blind15_key(account_from(params), params.hex("server_pk"))
        return {"blinded_id": key.id, "sk": key.scalar}

    @operation("blind25.key")
    def blind25_key(self, params: Params) -> dict[str, Any]:
        """Derive the key pair of version 25."""
        key = blinding.blind25_key(account_from(params), params.hex("server_pk"))
        return {"blinded_id": key.id, "sk": key.scalar}

    @operation("blind15.id")
    def blind15_id(self, params: Params) -> dict[str, Any]:
        """Name the two ids that an Account ID may have."""
        return {"ids": list(blinding.blind15_ids(params.text("session_id"), params.hex("server_pk")))}

    @operation("blind25.id")
    def blind25_id(self, params: Params) -> dict[str, Any]:
        """Name the id of an Account ID."""
        return {"id": blinding.blind25_id(params.text("session_id"), params.hex("server_pk"))}

    @operation("blind15.sign")
    def blind15_sign(self, params: Params) -> dict[str, Any]:
        """Sign with the key of version 15."""
        key = blinding.blind15_key(account_from(params), params.hex("server_pk"))
        signature = blinding.blinded_sign(key, params.hex("message_hex"))
        return {"signature": signature, "verify_key": key.public}

    @operation("blind25.sign")
    def blind25_sign(self, params: Params) -> dict[str, Any]:
        """Sign with the key of version 25."""
        key = blinding.blind25_key(account_from(params), params.hex("server_pk"))
        signature = blinding.blinded_sign(key, params.hex("message_hex"))
        return {"signature": signature, "verify_key": key.public}

    @operation("blinded.match")
    def blinded_match(self, params: Params) -> dict[str, Any]:
        """Tell whether a blinded id is an account's."""
        match = blinding.matches_blinded_id(
            params.text("session_id"), params.text("blinded_id"), params.hex("server_pk")
        )
        return {"match": match}

    @operation("blinded_dm.encrypt")
    def blinded_dm_encrypt(self, params: Params) -> dict[str, Any]:
        """Encrypt bytes to a blinded id."""
        ciphertext = blinded_messages.encrypt_blinded_message(
            account_from(params, "sender_seed"),
            params.hex("server_pk"),
            params.text("recipient_blinded_id"),
            params.hex("message_hex"),
            nonce=params.hex("nonce_hex", None, length=24),
            random_bytes=self.random_bytes,
        )
        return {"ciphertext": ciphertext}

    @operation("blinded_dm.decrypt")
    def blinded_dm_decrypt(self, params: Params) -> dict[str, Any]:
        """Decrypt what was sent between blinded ids, and name the sender's Account ID."""
        opened = blinded_messages.decrypt_blinded_message(
            account_from(params, "recipient_seed"),
            params.hex("server_pk"),
            params.text("sender_blinded_id"),
            params.text("recipient_blinded_id"),
            params.hex("ciphertext"),
        )
        return {"message_hex": opened.message, "sender_session_id": opened.sender_account_id}

    @operation("sogs.auth_headers")
    def sogs_auth_headers(self, params: Params) -> dict[str, Any]:
        """Make the headers that authenticate a request."""
        return community.auth_headers(
            account_from(params),
            params.hex("server_pk"),
            params.text("method"),
            params.text("path"),
            params.hex("body_hex", None),
            nonce=params.hex("nonce_hex"),
            timestamp_s=params.integer("timestamp_s"),
            mode=params.text("mode", "blinded15"),
        )

    @operation("community.encode_message")
    def community_encode_message(self, params: Params) -> dict[str, Any]:
        """Write and sign what is posted to a room."""
        data = padding.pad(content.build_content(params.mapping("content")))
        signature = community.sign_community_message(
            account_from(params),
            params.hex("server_pk"),
            data,
            params.flag("blinded"),
            random_bytes=self.random_bytes,
        )
        return {"data_base64": base64_text(data), "signature_base64": base64_text(signature)}

    @operation("community.decode_message")
    def community_decode_message(self, params: Params) -> dict[str, Any]:
        """Read what a room holds, and tell whether its poster signed it."""
        data = base64_from(params, "data_base64")
        valid = community.verify_community_message(
            params.text("poster_id"), data, base64_from(params, "signature_base64")
        )
        return {"content": content.parse_content(padding.unpad(data)), "signature_valid": valid}
