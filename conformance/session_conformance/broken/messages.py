"""Faults in envelopes and contents."""

import base64
from typing import Any

from session_conformance.broken.fault import broken
from session_conformance.testees.kit_python.session_testee_kit import Params, Rejected
from session_conformance.testees.reference.testee import ReferenceTestee
from session_protocol import content, envelope, padding, sealing
from session_protocol.accounts import Account, parse_account_id
from session_protocol.errors import ProtocolError


def wrap(params: Params, content_bytes: bytes, timestamp_ms: int) -> dict[str, Any]:
    """Seal content bytes to the recipient of an ``encode`` request and wrap them with a timestamp."""
    sender = Account.from_seed(params.hex("sender_seed"))
    recipient = parse_account_id(params.text("recipient_session_id"))
    ciphertext = sealing.seal(sender, recipient, padding.pad(content_bytes))
    data = envelope.wrap_envelope(ciphertext, timestamp_ms)
    return {"data_base64": base64.b64encode(data).decode(), "content_hex": content_bytes}


def read_leniently(params: Params) -> dict[str, Any]:
    """Decode a message without the rules that need a comparison."""
    recipient = Account.from_seed(params.hex("recipient_seed"))
    unwrapped = envelope.unwrap_envelope(base64.b64decode(params.text("data_base64")))
    opened = sealing.open_sealed(recipient, unwrapped.content)
    content_bytes = padding.unpad(opened.message)
    return {
        "sender_session_id": opened.sender_account_id,
        "timestamp_ms": unwrapped.timestamp_ms,
        "content": content.parse_content(content_bytes),
        "content_hex": content_bytes,
        "envelope": {"type": 6, "timestamp": unwrapped.timestamp_ms, "source": ""},
    }


@broken("envelope-in-seconds", "envelope")
class EnvelopeInSeconds(ReferenceTestee):
    """Write the envelope's timestamp in seconds."""

    def message_encode_1o1(self, params: Params) -> dict[str, Any]:
        timestamp_ms = params.integer("timestamp_ms")
        built = content.build_content(params.mapping("content"), timestamp_ms=timestamp_ms // 1000)
        return wrap(params, built, timestamp_ms // 1000)


@broken("content-without-timestamp", "envelope")
class ContentWithoutTimestamp(ReferenceTestee):
    """Leave sigTimestamp out of the content."""

    def message_encode_1o1(self, params: Params) -> dict[str, Any]:
        timestamp_ms = params.integer("timestamp_ms")
        built = content.build_content(params.mapping("content"), timestamp_ms=timestamp_ms)
        # sigTimestamp is the last field that is written: tag 15, a varint.
        stripped = built[: built.rindex(b"\x78")]
        return wrap(params, stripped, timestamp_ms)


@broken("verb-required", "envelope")
class VerbRequired(ReferenceTestee):
    """Read only messages whose request has the verb PUT."""

    def message_decode_1o1(self, params: Params) -> dict[str, Any]:
        if b"PUT" not in base64.b64decode(params.text("data_base64"))[:12]:
            raise Rejected("bad_format", "the verb is not PUT")
        return super().message_decode_1o1(params)


@broken("unknown-fields-refused", "envelope", "content")
class UnknownFieldsRefused(ReferenceTestee):
    """Refuse messages with fields that the schema does not have."""

    def message_decode_1o1(self, params: Params) -> dict[str, Any]:
        decoded = super().message_decode_1o1(params)
        data = base64.b64decode(params.text("data_base64"))
        if any(tag in data or tag in decoded["content_hex"] for tag in (b"\xb8\xbe\x02", b"\xba\xbe\x02")):
            raise Rejected("bad_format", "unknown field")
        return decoded

    def message_parse_content(self, params: Params) -> dict[str, Any]:
        if b"\xbe\x02" in params.hex("content_hex")[-12:]:
            raise Rejected("bad_format", "unknown field")
        return super().message_parse_content(params)


@broken("damage-hidden", "envelope")
class DamageHidden(ReferenceTestee):
    """Show a message that cannot be decoded as an empty text of nobody."""

    def message_decode_1o1(self, params: Params) -> dict[str, Any]:
        try:
            return super().message_decode_1o1(params)
        except (ProtocolError, Rejected):
            return {
                "sender_session_id": "05" + "00" * 32,
                "timestamp_ms": 0,
                "content": {"kind": "text", "body": ""},
                "content_hex": b"",
                "envelope": {"type": 6, "timestamp": 0, "source": ""},
            }


@broken("timestamps-not-compared", "envelope")
class TimestampsNotCompared(ReferenceTestee):
    """Believe the timestamp of the envelope, which nobody signed."""

    def message_decode_1o1(self, params: Params) -> dict[str, Any]:
        return read_leniently(params)


@broken("quotes-dropped", "envelope", "content")
class QuotesDropped(ReferenceTestee):
    """Leave quotes and emoji out when writing content."""

    def _reduced(self, params: Params) -> Params:
        meant = {
            key: value for key, value in params.mapping("content").items() if key not in ("quote", "emoji")
        }
        return params.changed(content=meant)

    def message_encode_1o1(self, params: Params) -> dict[str, Any]:
        return super().message_encode_1o1(self._reduced(params))

    def message_build_content(self, params: Params) -> dict[str, Any]:
        return super().message_build_content(self._reduced(params))


@broken("reactions-inverted", "content")
class ReactionsInverted(ReferenceTestee):
    """Read a removed reaction as a new one, and the other way round."""

    def message_parse_content(self, params: Params) -> dict[str, Any]:
        read = super().message_parse_content(params)["content"]
        if read["kind"] == "reaction":
            read = {**read, "remove": not read.get("remove")}
        return {"content": read}


@broken("published-bodies-trimmed", "content", "envelope")
class BodiesTrimmed(ReferenceTestee):
    """Cut the body of a text at ten characters when reading it."""

    def message_parse_content(self, params: Params) -> dict[str, Any]:
        read = super().message_parse_content(params)["content"]
        return {"content": {**read, "body": read["body"][:10]} if read.get("body") else read}

    def message_decode_1o1(self, params: Params) -> dict[str, Any]:
        decoded = super().message_decode_1o1(params)
        read = decoded["content"]
        return {**decoded, "content": {**read, "body": read["body"][:10]} if read.get("body") else read}


@broken("wrong-sender-read", "envelope")
class WrongSenderRead(ReferenceTestee):
    """Name the recipient as the sender of what it receives."""

    def message_decode_1o1(self, params: Params) -> dict[str, Any]:
        decoded = super().message_decode_1o1(params)
        recipient = Account.from_seed(params.hex("recipient_seed"))
        return {**decoded, "sender_session_id": recipient.account_id}


@broken("anything-is-content", "content")
class AnythingIsContent(ReferenceTestee):
    """Read bytes that are no content as content of an unknown kind."""

    def message_parse_content(self, params: Params) -> dict[str, Any]:
        try:
            return super().message_parse_content(params)
        except ProtocolError:
            return {"content": {"kind": "unknown", "content_hex": params.text("content_hex")}}


@broken("damage-without-kind", "content")
class DamageWithoutKind(ReferenceTestee):
    """Answer with an empty object for content that is damaged."""

    def message_parse_content(self, params: Params) -> dict[str, Any]:
        try:
            return super().message_parse_content(params)
        except ProtocolError:
            return {"content": {}}


def declaring(**envelope_features: Any) -> dict[str, Any]:
    """Return the features of the reference with other ones of the envelope."""
    declared = {**ReferenceTestee.features["envelope"], **envelope_features}
    return {**ReferenceTestee.features, "envelope": declared}


@broken("verb-undeclared", "envelope", checks=("envelope.wraps_as_declared",))
class VerbUndeclared(ReferenceTestee):
    """Write an empty verb and path, and declare those of older clients."""

    features = declaring(verb_path=["PUT", "/api/v1/message"])


@broken("signature-undeclared", "envelope", checks=("envelope.wraps_as_declared",))
class SignatureUndeclared(ReferenceTestee):
    """Write a signature into the envelope, and declare that there is none."""

    features = declaring(prosig="none")
