"""Attachments and profile pictures (testee-operations §2.6)."""

from typing import Any

from session_conformance.testees.kit_python.session_testee_kit import Params, Rejected, operation
from session_conformance.testees.reference.operations import Operations
from session_protocol import attachments


class AttachmentOperations(Operations):
    """Files as blobs for the file server."""

    @operation("attachment.encrypt_legacy")
    def attachment_encrypt_legacy(self, params: Params) -> dict[str, Any]:
        """Encrypt a file with AES-CBC and HMAC."""
        made = attachments.encrypt_legacy(
            params.hex("data_hex"),
            key=params.hex("key64", None, length=64),
            iv=params.hex("iv", None, length=16),
            random_bytes=self.random_bytes,
        )
        return {
            "blob_hex": made.blob,
            "key64": made.key,
            "digest_sha256": made.digest,
            "size": made.size,
        }

    @operation("attachment.decrypt_legacy")
    def attachment_decrypt_legacy(self, params: Params) -> dict[str, Any]:
        """Check MAC and digest, decrypt, cut to size."""
        data = attachments.decrypt_legacy(
            params.hex("blob_hex"), params.hex("key64"), params.hex("digest"), params.integer("size")
        )
        return {"data_hex": data}

    @operation("attachment.encrypt")
    def attachment_encrypt(self, params: Params) -> dict[str, Any]:
        """Encrypt a file as a deterministic stream."""
        blob, key = attachments.encrypt_stream(
            params.hex("seed_hex"),
            params.hex("data_hex"),
            params.text("domain", "attachment"),
            allow_large=params.flag("allow_large", default=False),
        )
        return {"blob_hex": blob, "key32": key}

    @operation("attachment.decrypt")
    def attachment_decrypt(self, params: Params) -> dict[str, Any]:
        """Decrypt a stream."""
        return {"data_hex": attachments.decrypt_stream(params.hex("blob_hex"), params.hex("key32"))}

    @operation("attachment.legacy_padded_size")
    def attachment_legacy_padded_size(self, params: Params) -> dict[str, Any]:
        """Say what a file of a size is padded to."""
        return {"padded": attachments.legacy_padded_size(_size(params))}

    @operation("profile_pic.encrypt_legacy")
    def profile_pic_encrypt_legacy(self, params: Params) -> dict[str, Any]:
        """Encrypt a profile picture with AES-GCM."""
        blob = attachments.encrypt_profile_picture(
            _data(params),
            params.hex("key32", length=32),
            iv=params.hex("iv12", None, length=12),
            random_bytes=self.random_bytes,
        )
        return {"blob_hex": blob}

    @operation("profile_pic.decrypt_legacy")
    def profile_pic_decrypt_legacy(self, params: Params) -> dict[str, Any]:
        """Decrypt a profile picture."""
        blob = params.hex("blob_hex" if "blob_hex" in params else "blob")
        return {"data_hex": attachments.decrypt_profile_picture(blob, params.hex("key32", length=32))}


def _data(params: Params) -> bytes:
    data = params.hex("data_hex" if "data_hex" in params else "data")
    assert isinstance(data, bytes), "hex() of a required parameter gives bytes"
    return data


def _size(params: Params) -> int:
    size: int = params.integer("size")
    if size < 0:
        raise Rejected("invalid_argument", "size must not be negative")
    return size
