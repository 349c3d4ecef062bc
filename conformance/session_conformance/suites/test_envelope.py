"""Judge the whole one-to-one message, from Content to WebSocketMessage (client-protocol §2.3)."""

import base64
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from session_conformance import strategies, vectors
from session_conformance.checks import check, reading, refused
from session_conformance.content_comparison import content_kinds, differences, within_limits
from session_conformance.contract import Testee
from session_conformance.genuine import Genuine
from session_protocol import content as content_codec
from session_protocol import envelope, messages, padding
from session_protocol.accounts import Account
from session_protocol.envelope import EnvelopeStyle

# The forms in use: current libsession, older official clients, third-party clients without a signature.
STYLES = (
    EnvelopeStyle(verb="", path="", source_device=1, prosig="decoy"),
    EnvelopeStyle(verb="PUT", path="/api/v1/message", source_device=None, prosig="none"),
    EnvelopeStyle(verb="", path="", source_device=None, prosig="none"),
)

# A field number that no schema uses, once as a varint and once as bytes (protobuf wire format).
UNKNOWN_FIELDS = (b"\xb8\xbe\x02\x2a", b"\xba\xbe\x02\x05later")


def encode(
    testee: Testee, sender: Account, recipient: Account, content: dict[str, Any], timestamp_ms: int
) -> bytes:
    encoded = testee.call(
        "message.encode_1o1",
        sender_seed=sender.entropy.hex(),
        recipient_session_id=recipient.account_id,
        content=content,
        timestamp_ms=timestamp_ms,
    )
    return base64.b64decode(encoded["data_base64"], validate=True)


def decode(testee: Testee, recipient: Account, data: bytes) -> dict[str, Any]:
    return testee.call(
        "message.decode_1o1",
        recipient_seed=recipient.entropy.hex(),
        data_base64=base64.b64encode(data).decode(),
    )


def refuses(testee: Testee, recipient: Account, data: bytes) -> None:
    refused(
        testee,
        "message.decode_1o1",
        recipient_seed=recipient.entropy.hex(),
        data_base64=base64.b64encode(data).decode(),
    )


@st.composite
def expressible(draw: st.DrawFn, testee: Testee) -> dict[str, Any]:
    """Draw content that the testee can write."""
    content = within_limits(testee, draw(strategies.contents(draw(st.sampled_from(content_kinds(testee))))))
    # A sync target is only for one's own messages; the messaging suite judges it.
    content.pop("sync_target", None)
    return content


@check("ENV-01", "ENV-03", "CONT-02", ops=("message.encode_1o1",))
@given(sender=strategies.accounts, recipient=strategies.accounts, data=st.data())
def test_writes_messages_that_others_read(
    testee: Testee, sender: Account, recipient: Account, data: st.DataObject
) -> None:
    content = data.draw(expressible(testee), label="content")
    encoded = encode(testee, sender, recipient, content, content["timestamp_ms"])
    with reading("the message"):
        decoded = messages.decode_1o1(recipient, encoded)
    assert decoded.envelope.type == 6
    assert decoded.timestamp_ms == content["timestamp_ms"]
    assert decoded.sender_account_id == sender.account_id
    # Whether the content repeats the timestamp is judged by itself.
    meant = {key: value for key, value in content.items() if key != "timestamp_ms"}
    assert not differences(meant, decoded.content), differences(meant, decoded.content)


@check("ENV-04", ops=("message.encode_1o1",))
@given(sender=strategies.accounts, recipient=strategies.accounts, timestamp_ms=strategies.timestamps_ms)
def test_repeats_the_timestamp_inside(
    testee: Testee, sender: Account, recipient: Account, timestamp_ms: int
) -> None:
    content = {"kind": "text", "body": "when", "timestamp_ms": timestamp_ms}
    encoded = encode(testee, sender, recipient, content, timestamp_ms)
    with reading("the message"):
        decoded = messages.decode_1o1(recipient, encoded)
    assert content_codec.signature_timestamp_ms(decoded.content_bytes) == timestamp_ms


@check(
    "ENV-08",
    ops=("message.encode_1o1",),
    features={"envelope.prosig": ("decoy", "none")},
)
@given(sender=strategies.accounts, recipient=strategies.accounts, timestamp_ms=strategies.timestamps_ms)
def test_wraps_as_declared(testee: Testee, sender: Account, recipient: Account, timestamp_ms: int) -> None:
    """What the feature block leaves out is not judged."""
    declared = testee.hello.feature("envelope")
    content = {"kind": "text", "body": "wrapped", "timestamp_ms": timestamp_ms}
    encoded = encode(testee, sender, recipient, content, timestamp_ms)
    with reading("the message"):
        decoded = messages.decode_1o1(recipient, encoded)
    wrapped = decoded.envelope
    signed_ms = content_codec.signature_timestamp_ms(decoded.content_bytes)
    written = {
        "verb_path": [wrapped.verb, wrapped.path],
        "prosig": "none" if wrapped.prosig is None else "decoy",
        "source_device": wrapped.source_device,
        "sig_timestamp": signed_ms == timestamp_ms,
    }
    assert {key: written[key] for key in written if key in declared} == {
        key: declared[key] for key in written if key in declared
    }


@check("ENV-02", "CONT-01", ops=("message.decode_1o1",))
@given(
    sender=strategies.accounts,
    recipient=strategies.accounts,
    content=strategies.contents("text"),
    style=st.sampled_from(STYLES),
    rule=st.sampled_from(padding.PaddingRule),
)
def test_reads_messages_of_every_client(
    testee: Testee,
    genuine: Genuine,
    sender: Account,
    recipient: Account,
    content: dict[str, Any],
    style: EnvelopeStyle,
    rule: padding.PaddingRule,
) -> None:
    # A sync target is only for one's own messages; the messaging suite judges it.
    content.pop("sync_target", None)
    data = genuine.encode_1o1(
        sender, recipient.account_id, content, content["timestamp_ms"], style=style, padding=rule
    )
    decoded = decode(testee, recipient, data)
    assert decoded["sender_session_id"] == sender.account_id
    assert decoded["timestamp_ms"] == content["timestamp_ms"]
    assert decoded["content"]["kind"] == "text"
    assert decoded["content"].get("body", "") == content["body"]


@check("ENV-02", ops=("message.decode_1o1",))
def test_reads_the_published_messages(testee: Testee) -> None:
    for case in vectors.cases("messages", "message.decode_1o1"):
        decoded = testee.call("message.decode_1o1", **case.input)
        assert decoded["sender_session_id"] == case.output["sender_session_id"], case.id
        assert decoded["timestamp_ms"] == case.output["timestamp_ms"], case.id


@check("ENV-06", ops=("message.decode_1o1",))
@given(
    sender=strategies.accounts,
    recipient=strategies.accounts,
    timestamp_ms=strategies.timestamps_ms,
    layer=st.sampled_from(["content", "envelope", "websocket"]),
    unknown=st.sampled_from(UNKNOWN_FIELDS),
)
def test_ignores_unknown_fields(
    testee: Testee,
    genuine: Genuine,
    sender: Account,
    recipient: Account,
    timestamp_ms: int,
    layer: str,
    unknown: bytes,
) -> None:
    content = {"kind": "text", "body": "from the future", "timestamp_ms": timestamp_ms}
    plain = content_codec.build_content(content) + (unknown if layer == "content" else b"")
    ciphertext = genuine.seal(sender, recipient.x25519_pk, padding.pad(plain))
    inner = genuine.build_envelope(ciphertext, timestamp_ms) + (unknown if layer == "envelope" else b"")
    data = envelope.wrap_request(inner) + (unknown if layer == "websocket" else b"")
    decoded = decode(testee, recipient, data)
    assert decoded["sender_session_id"] == sender.account_id
    assert decoded["content"].get("body") == "from the future"


@check("ENV-05", ops=("message.decode_1o1",))
@given(
    sender=strategies.accounts,
    recipient=strategies.accounts,
    timestamp_ms=strategies.timestamps_ms,
    data=st.data(),
)
def test_drops_a_damaged_ciphertext(
    testee: Testee,
    genuine: Genuine,
    sender: Account,
    recipient: Account,
    timestamp_ms: int,
    data: st.DataObject,
) -> None:
    content = {"kind": "text", "body": "whole", "timestamp_ms": timestamp_ms}
    plain = padding.pad(content_codec.build_content(content))
    ciphertext = genuine.seal(sender, recipient.x25519_pk, plain)
    broken = data.draw(strategies.damaged(ciphertext), label="damaged ciphertext")
    refuses(testee, recipient, genuine.wrap_envelope(broken, timestamp_ms))


@check("ENV-05", ops=("message.decode_1o1",))
@given(
    sender=strategies.accounts,
    recipient=strategies.accounts,
    timestamp_ms=strategies.timestamps_ms,
    data=st.data(),
)
def test_drops_a_cut_message(
    testee: Testee,
    genuine: Genuine,
    sender: Account,
    recipient: Account,
    timestamp_ms: int,
    data: st.DataObject,
) -> None:
    content = {"kind": "text", "body": "whole", "timestamp_ms": timestamp_ms}
    whole = genuine.encode_1o1(sender, recipient.account_id, content, timestamp_ms)
    # Cut inside the request, the last field: what is left has a length that promises more.
    size = data.draw(st.integers(1, len(whole) - 1), label="bytes kept")
    refuses(testee, recipient, whole[:size])


@check("ENV-05", ops=("message.decode_1o1",))
@given(recipient=strategies.accounts, noise=st.binary(max_size=300))
def test_drops_noise(testee: Testee, recipient: Account, noise: bytes) -> None:
    refuses(testee, recipient, noise)


@check("ENV-07", ops=("message.decode_1o1",))
@given(
    sender=strategies.accounts,
    recipient=strategies.accounts,
    timestamp_ms=strategies.timestamps_ms,
    shift_ms=st.integers(1, 10**9),
)
def test_drops_a_message_with_two_timestamps(
    testee: Testee, genuine: Genuine, sender: Account, recipient: Account, timestamp_ms: int, shift_ms: int
) -> None:
    """The envelope is not signed: only the timestamp inside can be believed."""
    content = {"kind": "text", "body": "when?", "timestamp_ms": timestamp_ms}
    plain = padding.pad(content_codec.build_content(content))
    ciphertext = genuine.seal(sender, recipient.x25519_pk, plain)
    refuses(testee, recipient, genuine.wrap_envelope(ciphertext, timestamp_ms - shift_ms))
