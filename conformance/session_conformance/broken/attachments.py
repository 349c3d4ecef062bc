"""Faults in attachment encryption."""

import hashlib
import hmac
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from session_conformance.broken.fault import broken
from session_conformance.testees.kit_python.session_testee_kit import Params, Rejected
from session_conformance.testees.reference.testee import ReferenceTestee
from session_protocol import attachments
from session_protocol.errors import ProtocolError

MAC_BYTES = 32


def with_right_mac(blob: bytes, key: bytes) -> bytes:
    """Replace the MAC of a blob by the one that belongs to its bytes."""
    return blob[:-MAC_BYTES] + hmac.digest(key[32:], blob[:-MAC_BYTES], "sha256")


@broken("mac-unchecked", "attachments")
class MacUnchecked(ReferenceTestee):
    """Decrypt attachments without checking the MAC."""

    def attachment_decrypt_legacy(self, params: Params) -> dict[str, Any]:
        blob, key = params.hex("blob_hex"), params.hex("key64")
        if len(blob) < 64 or hashlib.sha256(blob).digest() != params.hex("digest"):
            return super().attachment_decrypt_legacy(params)
        mended = with_right_mac(blob, key)
        return super().attachment_decrypt_legacy(
            params.changed(blob_hex=mended.hex(), digest=hashlib.sha256(mended).hexdigest())
        )


@broken("short-attachment-accepted", "attachments")
class ShortAttachmentAccepted(ReferenceTestee):
    """Read an attachment that is too short as an empty file."""

    def attachment_decrypt_legacy(self, params: Params) -> dict[str, Any]:
        if len(params.hex("blob_hex")) < 64:
            return {"data_hex": b""}
        return super().attachment_decrypt_legacy(params)


@broken("digest-unchecked", "attachments")
class DigestUnchecked(ReferenceTestee):
    """Decrypt attachments without comparing the digest."""

    def attachment_decrypt_legacy(self, params: Params) -> dict[str, Any]:
        digest = hashlib.sha256(params.hex("blob_hex")).hexdigest()
        return super().attachment_decrypt_legacy(params.changed(digest=digest))


@broken("padding-kept", "attachments")
class PaddingKept(ReferenceTestee):
    """Leave the zeros of the padding at the end of an attachment."""

    def attachment_decrypt_legacy(self, params: Params) -> dict[str, Any]:
        blob, key = params.hex("blob_hex"), params.hex("key64")
        opened = super().attachment_decrypt_legacy(params)["data_hex"]
        decryptor = Cipher(algorithms.AES(key[:32]), modes.CBC(blob[:16])).decryptor()
        padded = decryptor.update(blob[16:-MAC_BYTES]) + decryptor.finalize()
        return {"data_hex": padded[: -padded[-1]] or opened}


@broken("mac-over-ciphertext-only", "attachments")
class MacOverCiphertextOnly(ReferenceTestee):
    """Leave the IV out of the MAC."""

    def attachment_encrypt_legacy(self, params: Params) -> dict[str, Any]:
        made = super().attachment_encrypt_legacy(params)
        body = made["blob_hex"][:-MAC_BYTES]
        blob = body + hmac.digest(made["key64"][32:], body[16:], "sha256")
        return {**made, "blob_hex": blob, "digest_sha256": hashlib.sha256(blob).digest()}


@broken("attachment-unpadded", "attachments")
class AttachmentUnpadded(ReferenceTestee):
    """Encrypt attachments at their exact size."""

    def attachment_encrypt_legacy(self, params: Params) -> dict[str, Any]:
        made = attachments.encrypt_legacy(params.hex("data_hex"), random_bytes=self.random_bytes, pad=False)
        return {
            "blob_hex": made.blob,
            "key64": made.key,
            "digest_sha256": made.digest,
            "size": made.size,
        }


@broken("attachment-key-reused", "attachments")
class AttachmentKeyReused(ReferenceTestee):
    """Encrypt every attachment with the same key and IV."""

    def attachment_encrypt_legacy(self, params: Params) -> dict[str, Any]:
        return super().attachment_encrypt_legacy(params.changed(key64="07" * 64, iv="07" * 16))


@broken("old-attachments-refused", "attachments")
class OldAttachmentsRefused(ReferenceTestee):
    """Refuse attachments that are smaller than the smallest padding step."""

    def attachment_decrypt_legacy(self, params: Params) -> dict[str, Any]:
        if len(params.hex("blob_hex")) < 16 + 541 + MAC_BYTES:
            raise Rejected("invalid_length", "smaller than any padded attachment")
        return super().attachment_decrypt_legacy(params)


@broken("published-attachment-refused", "attachments")
class PublishedAttachmentRefused(ReferenceTestee):
    """Refuse attachments whose key is made of counted bytes, as in published examples."""

    def attachment_decrypt_legacy(self, params: Params) -> dict[str, Any]:
        if params.hex("key64") == bytes(range(64)):
            raise ProtocolError("a key nobody would draw")
        return super().attachment_decrypt_legacy(params)


@broken("attachment-codes-mixed-up", "attachments", checks=("attachments.refuses*",))
class AttachmentCodesMixedUp(ReferenceTestee):
    """Call every fault of an attachment an internal one, and declare detailed errors."""

    def attachment_decrypt_legacy(self, params: Params) -> dict[str, Any]:
        try:
            return super().attachment_decrypt_legacy(params)
        except ProtocolError as error:
            raise Rejected("internal", str(error)) from error


@broken("pads-undeclared", "attachments", checks=("attachments.pads_as_declared",))
class PadsUndeclared(ReferenceTestee):
    """Pad attachments, and declare that they are not padded."""

    features = {**ReferenceTestee.features, "attachment_pads": False}  # noqa: RUF012
