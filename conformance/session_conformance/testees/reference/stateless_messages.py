"""Whole 1-to-1 messages and their Content (testee-operations §§2.2, 2.3)."""

from typing import Any

from session_conformance.testees.kit_python.session_testee_kit import Params, operation
from session_conformance.testees.reference.operations import (
    Operations,
    account_from,
    base64_from,
    base64_text,
)
from session_protocol import content, messages


class MessageOperations(Operations):
    """From the neutral content object to what a node stores, and back."""

    @operation("message.encode_1o1")
    def message_encode_1o1(self, params: Params) -> dict[str, Any]:
        """Encode content for a recipient, or as the own copy of what went to ``sync_target``."""
        timestamp_ms = params.integer("timestamp_ms")
        sync_target = params.text("sync_target", None)
        meant = params.mapping("content")
        data = messages.encode_1o1(
            account_from(params, "sender_seed"),
            params.text("recipient_session_id"),
            meant,
            timestamp_ms,
            sync_target=sync_target,
            random_bytes=self.random_bytes,
        )
        written = {**meant, "sync_target": sync_target} if sync_target else meant
        return {
            "data_base64": base64_text(data),
            "content_hex": content.build_content(written, timestamp_ms=timestamp_ms),
        }

    @operation("message.decode_1o1")
    def message_decode_1o1(self, params: Params) -> dict[str, Any]:
        """Decode what a node stored."""
        decoded = messages.decode_1o1(
            account_from(params, "recipient_seed"), base64_from(params, "data_base64")
        )
        envelope = decoded.envelope
        return {
            "sender_session_id": decoded.sender_account_id,
            "timestamp_ms": decoded.timestamp_ms,
            "content": decoded.content,
            "content_hex": decoded.content_bytes,
            "envelope": {
                "type": int(envelope.type),
                "timestamp": envelope.timestamp_ms,
                "source": envelope.source or "",
                "source_device": envelope.source_device,
                "prosig_length": len(envelope.prosig) if envelope.prosig else 0,
            },
        }

    @operation("message.parse_content")
    def message_parse_content(self, params: Params) -> dict[str, Any]:
        """Read Content bytes into the neutral object."""
        return {"content": content.parse_content(params.hex("content_hex"))}

    @operation("message.build_content")
    def message_build_content(self, params: Params) -> dict[str, Any]:
        """Write the neutral object as Content bytes."""
        return {"content_hex": content.build_content(params.mapping("content"))}
