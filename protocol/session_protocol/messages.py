"""The whole 1-to-1 message: Content, padding, sealing, envelopes (client-protocol §§2.3, 2.5, 2.6)."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from session_protocol.accounts import SEED_BYTES, Account, parse_account_id
from session_protocol.content import build_content
from session_protocol.content.parsing import describe, read_content
from session_protocol.envelope import (
    CURRENT,
    Envelope,
    EnvelopeStyle,
    EnvelopeType,
    unwrap_envelope,
    wrap_envelope,
)
from session_protocol.errors import BadFormat, InvalidArgument
from session_protocol.padding import PaddingRule, pad, unpad
from session_protocol.primitives import STRICT, Primitives
from session_protocol.proto import wire
from session_protocol.sealing import open_sealed, seal

MAX_ATTACHMENTS: Final = 32
"""Receivers drop a message with more (client-protocol §2.6, rule 5)."""

KNOWN_FLAGS: Final = frozenset({0, 2})
"""DataMessage.flags that receivers accept."""

KINDS_WITHOUT_SYNC_TARGET: Final = frozenset(
    {"unsend", "receipt", "typing", "request_accepted", "data_extraction", "call", "unknown"}
)
"""Kinds that are no DataMessage and so have no place for a sync target."""


@dataclass(frozen=True, slots=True)
class DecodedMessage:
    """A message as its recipient reads it; ``content_bytes`` is the Content without its padding."""

    sender_account_id: str
    timestamp_ms: int
    content: dict[str, Any]
    content_bytes: bytes
    envelope: Envelope


def encode_1o1(
    sender: Account,
    recipient_account_id: str,
    content: Mapping[str, Any],
    timestamp_ms: int,
    *,
    sync_target: str | None = None,
    style: EnvelopeStyle = CURRENT,
    padding: PaddingRule = PaddingRule.LIBSESSION_2025,
    random_bytes: Callable[[int], bytes] = os.urandom,
    primitives: Primitives = STRICT,
) -> bytes:
    """Encode a neutral content object for an account; what goes base64 into the ``data`` of a store.

    ``timestamp_ms`` goes into every place that repeats it, whatever the content says. ``sync_target`` makes
    the copy for the own devices of a message to that Account ID; its recipient is the sender itself.
    ``random_bytes`` is asked for the ephemeral key and the decoy signature. Raises InvalidId for an id that
    cannot be written to, InvalidArgument for content that cannot be built.
    """
    recipient = parse_account_id(recipient_account_id)
    if sync_target is not None:
        parse_account_id(sync_target)
        if recipient != sender.x25519_pk:
            raise InvalidArgument("a message with a sync target can only go to the sender's own account")
        if content.get("kind") in KINDS_WITHOUT_SYNC_TARGET:
            raise InvalidArgument(f"a {content['kind']} has no place for a sync target")
        content = {**content, "sync_target": sync_target}
    plain = pad(build_content(content, timestamp_ms=timestamp_ms), padding)
    # libsodium draws from the system itself, in fewer calls than we would need.
    ephemeral_seed = None if random_bytes is os.urandom else random_bytes(SEED_BYTES)
    ciphertext = seal(sender, recipient, plain, ephemeral_seed=ephemeral_seed, primitives=primitives)
    return wrap_envelope(ciphertext, timestamp_ms, style=style, random_bytes=random_bytes)


def decode_1o1(recipient: Account, data: bytes, *, primitives: Primitives = STRICT) -> DecodedMessage:
    """Decode what a node stored for this account, whichever client wrote it.

    Applies the rules of receiving that need no memory. Raises BadFormat for what receivers must drop
    (client-protocol §§2.3, 2.6), and the errors of :func:`session_protocol.sealing.open_sealed`.
    """
    envelope = unwrap_envelope(data)
    if envelope.type is not EnvelopeType.SESSION_MESSAGE:
        raise BadFormat(f"an Envelope of type {envelope.type.name} is not a 1-to-1 message")
    opened = open_sealed(recipient, envelope.content, primitives=primitives)
    plain = unpad(opened.message)
    parsed = read_content(plain)
    _refuse_what_receivers_drop(parsed, envelope)
    content = describe(parsed, plain)
    if "sync_target" in content and opened.sender_account_id != recipient.account_id:
        raise BadFormat("only one's own message may have a sync target")
    return DecodedMessage(
        sender_account_id=opened.sender_account_id,
        timestamp_ms=envelope.timestamp_ms,
        content=content,
        content_bytes=plain,
        envelope=envelope,
    )


def _refuse_what_receivers_drop(content: wire.Content, envelope: Envelope) -> None:
    signed_ms = content.sig_timestamp
    # A missing or zero timestamp is that of an older client.
    if signed_ms and envelope.timestamp_ms and signed_ms != envelope.timestamp_ms:
        raise BadFormat(
            f"the sender signed the timestamp {signed_ms}, the Envelope says {envelope.timestamp_ms}"
        )
    if content.HasField("pro_message") and not content.HasField("sig_timestamp"):
        raise BadFormat("a Pro message must have a signed timestamp")
    if not content.HasField("data_message"):
        return
    attachments, flags = len(content.data_message.attachments), content.data_message.flags
    if attachments > MAX_ATTACHMENTS:
        raise BadFormat(f"the message has {attachments} attachments, the limit is {MAX_ATTACHMENTS}")
    if flags not in KNOWN_FLAGS:
        raise BadFormat(f"the message has unknown flags: {flags}")
