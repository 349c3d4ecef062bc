"""Whole 1-to-1 messages: from one account to another, and what must be dropped on the way."""

import random
from typing import Any

import nacl.bindings
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from session_protocol import messages
from session_protocol.accounts import Account
from session_protocol.content import build_content
from session_protocol.envelope import CURRENT, LEGACY, EnvelopeStyle, wrap_envelope, wrap_request
from session_protocol.errors import (
    BadFormat,
    BadSignature,
    DecryptFailed,
    InvalidArgument,
    InvalidId,
    ProtocolError,
)
from session_protocol.padding import PaddingRule, pad, padded_length
from session_protocol.primitives import FastPrimitives
from session_protocol.proto import wire
from session_protocol.sealing import OVERHEAD, seal

deterministic = settings(derandomize=True, deadline=None)
accounts = st.binary(min_size=16, max_size=16).map(Account.from_seed)
ALICE, BOB, CAROL = (Account.from_seed(bytes([number]) * 16) for number in (1, 2, 3))
NOW = 1_700_000_000_000
TEXT = {"kind": "text", "body": "Hello Session"}

STYLES = (CURRENT, LEGACY, EnvelopeStyle(source_device=None, prosig="none"))
CONTENTS: tuple[dict[str, Any], ...] = (
    TEXT,
    {"kind": "reaction", "target_ms": 1, "author": BOB.account_id, "emoji": "\U0001f602", "remove": False},
    {"kind": "unsend", "target_ms": 1, "author": ALICE.account_id},
    {"kind": "receipt", "read_ms": [1, 2]},
    {"kind": "typing", "started": True},
    {"kind": "timer", "expiration": {"type": "read", "seconds": 300}},
    {"kind": "request_accepted", "profile": {"display_name": "Alice"}},
    {"kind": "data_extraction", "type": "saved", "saved_ms": 5},
    {"kind": "call", "type": "end", "uuid": "u", "sdps": []},
    {"kind": "community_invitation", "url": "http://example.org/room", "name": "Room"},
    {"kind": "group_promote", "group_identity_seed_hex": "00" * 32, "name": "Group"},
)


def stored(
    content: bytes, envelope_ms: int = NOW, sender: Account = ALICE, recipient: Account = BOB
) -> bytes:
    """Seal and wrap Content bytes of our own making."""
    return wrap_envelope(seal(sender, recipient.x25519_pk, pad(content)), envelope_ms)


@deterministic
@given(
    accounts,
    accounts,
    st.sampled_from(CONTENTS),
    st.integers(1, 2**63),
    st.sampled_from(STYLES),
    st.sampled_from(PaddingRule),
)
def test_messages_arrive(
    sender: Account,
    recipient: Account,
    content: dict[str, Any],
    timestamp_ms: int,
    style: EnvelopeStyle,
    rule: PaddingRule,
) -> None:
    data = messages.encode_1o1(sender, recipient.account_id, content, timestamp_ms, style=style, padding=rule)
    decoded = messages.decode_1o1(recipient, data)
    assert decoded.sender_account_id == sender.account_id
    assert decoded.timestamp_ms == timestamp_ms
    assert decoded.content == {**content, "timestamp_ms": timestamp_ms}
    assert decoded.content_bytes == build_content(content, timestamp_ms=timestamp_ms)
    assert decoded.envelope.source_device == style.source_device
    padded = padded_length(len(decoded.content_bytes), rule)
    assert len(decoded.envelope.content) == padded + OVERHEAD


def test_upper_case_ids_are_written_to() -> None:
    data = messages.encode_1o1(ALICE, BOB.account_id.upper(), TEXT, NOW)
    assert messages.decode_1o1(BOB, data).content["body"] == "Hello Session"


def test_the_given_timestamp_goes_everywhere() -> None:
    data = messages.encode_1o1(ALICE, BOB.account_id, {**TEXT, "timestamp_ms": 5}, NOW)
    decoded = messages.decode_1o1(BOB, data)
    assert decoded.timestamp_ms == decoded.content["timestamp_ms"] == decoded.envelope.timestamp_ms == NOW


def test_the_same_randomness_gives_the_same_bytes() -> None:
    first, second, third = (
        messages.encode_1o1(ALICE, BOB.account_id, TEXT, NOW, random_bytes=random.Random(seed).randbytes)
        for seed in (1, 1, 2)
    )
    assert first == second != third
    assert messages.encode_1o1(ALICE, BOB.account_id, TEXT, NOW) != messages.encode_1o1(
        ALICE, BOB.account_id, TEXT, NOW
    )


def test_the_fast_route_speaks_the_same_protocol() -> None:
    content, fast = {"kind": "text", "body": "x" * 60_000}, FastPrimitives({})
    data = messages.encode_1o1(ALICE, BOB.account_id, content, NOW, primitives=fast)
    assert messages.decode_1o1(BOB, data) == messages.decode_1o1(BOB, data, primitives=fast)


def test_an_own_copy_names_whom_the_message_went_to() -> None:
    data = messages.encode_1o1(ALICE, ALICE.account_id, TEXT, NOW, sync_target=BOB.account_id)
    decoded = messages.decode_1o1(ALICE, data)
    assert decoded.content == {**TEXT, "timestamp_ms": NOW, "sync_target": BOB.account_id}
    assert decoded.sender_account_id == ALICE.account_id


def test_a_strangers_copy_is_dropped() -> None:
    forged = build_content({**TEXT, "sync_target": CAROL.account_id}, timestamp_ms=NOW)
    with pytest.raises(BadFormat, match="sync target"):
        messages.decode_1o1(BOB, stored(forged))
    reaction = build_content({**CONTENTS[1], "sync_target": CAROL.account_id}, timestamp_ms=NOW)
    with pytest.raises(BadFormat, match="sync target"):
        messages.decode_1o1(BOB, stored(reaction))


def test_copies_that_cannot_be_are_not_encoded() -> None:
    with pytest.raises(InvalidArgument, match="own account"):
        messages.encode_1o1(ALICE, BOB.account_id, TEXT, NOW, sync_target=CAROL.account_id)
    with pytest.raises(InvalidArgument, match="no place"):
        messages.encode_1o1(ALICE, ALICE.account_id, CONTENTS[2], NOW, sync_target=BOB.account_id)
    with pytest.raises(InvalidId):
        messages.encode_1o1(ALICE, ALICE.account_id, TEXT, NOW, sync_target="Bob")


@pytest.mark.parametrize("recipient", ["", "Bob", "03" + "ab" * 32, "15" + "ab" * 32, "05" + "ab" * 31])
def test_only_account_ids_are_written_to(recipient: str) -> None:
    with pytest.raises(InvalidId):
        messages.encode_1o1(ALICE, recipient, TEXT, NOW)


@pytest.mark.parametrize(
    ("signed_ms", "envelope_ms", "accepted"),
    [
        (NOW, NOW, True),
        (NOW, NOW + 1, False),
        (NOW, 1, False),
        (None, NOW, True),
        (0, NOW, True),
        (NOW, 0, True),
    ],
)
def test_the_signed_timestamp_must_be_that_of_the_envelope(
    signed_ms: int | None, envelope_ms: int, accepted: bool
) -> None:
    data = stored(build_content(TEXT, timestamp_ms=signed_ms), envelope_ms)
    if accepted:
        assert messages.decode_1o1(BOB, data).timestamp_ms == envelope_ms
    else:
        with pytest.raises(BadFormat, match="timestamp"):
            messages.decode_1o1(BOB, data)


def pointers(count: int) -> list[wire.AttachmentPointer]:
    return [wire.AttachmentPointer(legacy_id=0, url="u")] * count


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (wire.Content(pro_message=wire.ProMessage()), "Pro message"),
        (wire.Content(data_message=wire.DataMessage(attachments=pointers(33))), "33 attachments"),
        (wire.Content(data_message=wire.DataMessage(body="b", flags=1)), "unknown flags"),
        (wire.Content(data_message=wire.DataMessage(body="b", flags=3)), "unknown flags"),
        (wire.Content(unsend=wire.Unsend(timestamp=1)), "lacks"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_receivers_drop_is_refused(content: wire.Content, reason: str) -> None:
    with pytest.raises(BadFormat, match=reason):
        messages.decode_1o1(BOB, stored(content.SerializePartialToString()))


@pytest.mark.parametrize(
    "content",
    [
        wire.Content(pro_message=wire.ProMessage(profile_bitset=1), sig_timestamp=NOW),
        wire.Content(data_message=wire.DataMessage(attachments=pointers(32))),
        wire.Content(data_message=wire.DataMessage(flags=2)),
        wire.Content(),
    ],
    ids=["pro", "32 attachments", "timer", "nothing"],
)
def test_what_is_just_allowed_is_read(content: wire.Content) -> None:
    data = content.SerializeToString()
    assert messages.decode_1o1(BOB, stored(data)).content_bytes == data


def test_content_that_is_no_protobuf_is_dropped() -> None:
    with pytest.raises(BadFormat):
        messages.decode_1o1(BOB, stored(b"\x0a\x7fcut"))


def test_group_envelopes_are_no_1_to_1_messages() -> None:
    sealed = seal(ALICE, BOB.x25519_pk, pad(build_content(TEXT)))
    group = wire.Envelope(type=7, timestamp=NOW, content=sealed).SerializeToString()
    with pytest.raises(BadFormat, match="CLOSED_GROUP_MESSAGE"):
        messages.decode_1o1(BOB, wrap_request(group))


@deterministic
@given(accounts)
def test_only_the_recipient_reads(other: Account) -> None:
    assume(other.account_id != BOB.account_id)
    with pytest.raises(DecryptFailed):
        messages.decode_1o1(other, messages.encode_1o1(ALICE, BOB.account_id, TEXT, NOW))


def test_every_cut_is_refused() -> None:
    whole = messages.encode_1o1(ALICE, BOB.account_id, TEXT, NOW)
    for size in range(len(whole)):
        with pytest.raises(BadFormat):
            messages.decode_1o1(BOB, whole[:size])


def test_no_flipped_bit_changes_what_is_read() -> None:
    """The layers around the ciphertext are nobody's word; what they hold, nobody can change."""
    whole = messages.encode_1o1(ALICE, BOB.account_id, TEXT, NOW, style=EnvelopeStyle(prosig="none"))
    genuine = messages.decode_1o1(BOB, whole)
    refused = 0
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            read = messages.decode_1o1(BOB, bytes(damaged))
        except ProtocolError:
            refused += 1
        else:
            assert (read.sender_account_id, read.content) == (genuine.sender_account_id, genuine.content)
    ciphertext_bits = len(genuine.envelope.content) * 8
    assert refused >= ciphertext_bits


def test_a_forged_signature_is_not_read() -> None:
    genuine = seal(ALICE, BOB.x25519_pk, pad(build_content(TEXT, timestamp_ms=NOW)))
    inner = nacl.bindings.crypto_box_seal_open(genuine, BOB.x25519_pk, BOB.x25519_sk)
    passed_on = nacl.bindings.crypto_box_seal(inner, CAROL.x25519_pk)
    with pytest.raises(BadSignature):
        messages.decode_1o1(CAROL, wrap_envelope(passed_on, NOW))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.binary(max_size=300), st.sampled_from(["raw", "wrapped", "sealed"]))
def test_noise_is_read_or_refused_in_the_family(noise: bytes, depth: str) -> None:
    data = {"raw": noise, "wrapped": wrap_envelope(noise, NOW), "sealed": stored(noise)}[depth]
    try:
        decoded = messages.decode_1o1(BOB, data)
    except ProtocolError:
        return
    assert depth == "sealed"
    assert decoded.sender_account_id == ALICE.account_id
