"""The two outer layers: written as each client writes them, read whoever wrote them."""

import random
from contextlib import suppress

import nacl.bindings
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from session_protocol import envelope
from session_protocol.envelope import CURRENT, LEGACY, EnvelopeStyle, EnvelopeType
from session_protocol.errors import BadFormat, InvalidArgument
from session_protocol.proto import wire

deterministic = settings(derandomize=True, deadline=None)
NOW = 1_700_000_000_000
ID = "05" + "ab" * 32
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
UNKNOWN_FIELDS = (b"\xb8\xbe\x02\x2a", b"\xba\xbe\x02\x05later")

styles = st.builds(
    EnvelopeStyle,
    verb=st.sampled_from(["", "PUT"]),
    path=st.sampled_from(["", "/api/v1/message"]),
    source_device=st.none() | st.integers(0, 2**32 - 1),
    prosig=st.sampled_from(["decoy", "none"]),
    source=st.sampled_from([None, "", ID]),
)


def written(**fields: object) -> bytes:
    inner = {"type": 6, "timestamp": NOW, "content": b"sealed", **fields}
    return envelope.wrap_request(
        wire.Envelope(
            **{key: value for key, value in inner.items() if value is not None}
        ).SerializePartialToString()
    )


@deterministic
@given(st.binary(max_size=200), st.integers(0, 2**64 - 1), styles)
def test_what_is_wrapped_is_unwrapped(ciphertext: bytes, timestamp_ms: int, style: EnvelopeStyle) -> None:
    read = envelope.unwrap_envelope(envelope.wrap_envelope(ciphertext, timestamp_ms, style=style))
    assert read.type is EnvelopeType.SESSION_MESSAGE
    assert (read.content, read.timestamp_ms) == (ciphertext, timestamp_ms)
    assert (read.source, read.source_device) == (style.source or "", style.source_device)
    assert len(read.prosig or b"") == (64 if style.prosig == "decoy" else 0)


def test_the_bytes_of_current_clients() -> None:
    style = EnvelopeStyle(prosig="none")
    inner = bytes.fromhex("0806 28 80d095ffbc31 3801 42 06") + b"sealed"
    outer = bytes.fromhex("0801 12 1b 0a00 1200 1a 13") + inner + bytes.fromhex("2000")
    assert envelope.wrap_envelope(b"sealed", NOW, style=style) == outer


def test_the_bytes_of_older_clients() -> None:
    outer = wire.WebSocketMessage.FromString(envelope.wrap_envelope(b"sealed", NOW, style=LEGACY))
    assert (outer.request.verb, outer.request.path, outer.request.id) == ("PUT", "/api/v1/message", 0)
    assert outer.request.body == bytes.fromhex("0806 1200 28 80d095ffbc31 3800 42 06") + b"sealed"


def test_the_decoy_looks_like_a_signature() -> None:
    source = random.Random(7)
    decoys = {envelope.decoy_prosig(source.randbytes) for _ in range(20)}
    assert len(decoys) == 20
    for decoy in decoys:
        assert len(decoy) == 64
        assert nacl.bindings.crypto_core_ed25519_is_valid_point(decoy[:32])
        assert int.from_bytes(decoy[32:], "little") < GROUP_ORDER
    assert envelope.decoy_prosig(random.Random(7).randbytes) in decoys
    assert envelope.decoy_prosig() != envelope.decoy_prosig()


@pytest.mark.parametrize("timestamp_ms", [-1, 2**64])
def test_impossible_timestamps_are_refused(timestamp_ms: int) -> None:
    with pytest.raises(InvalidArgument):
        envelope.build_envelope(b"sealed", timestamp_ms)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no request"),
        (b"\x08\x01", "no request"),
        (
            wire.WebSocketMessage(type=1, request=wire.WebSocketRequest()).SerializeToString(),
            "no request with a body",
        ),
        (envelope.wrap_request(b""), "lacks"),
        (envelope.wrap_request(b"\xff"), "no Envelope"),
        (written(content=None), "no content"),
        (written(type=None), "lacks type"),
        (written(timestamp=None), "lacks timestamp"),
        (written(source="05ab"), "source"),
        (written(source=ID + "0"), "source"),
        (written(source="g" * 66), "source"),
        (written(prosig=b""), "prosig"),
        (written(prosig=bytes(63)), "prosig"),
        (written(prosig=bytes(65)), "prosig"),
        (envelope.wrap_request(b"\x08\x06\x12\x02\xc3(\x28\x01\x42\x01s"), "UTF-8|no Envelope"),
        (envelope.wrap_request(b"\x08\x09\x28\x01\x42\x01s"), "lacks type"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.hex()[:20],
)
def test_what_receivers_drop_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BadFormat, match=reason):
        envelope.unwrap_envelope(data)


@pytest.mark.parametrize("message_type", [None, 0, 1, 2])
def test_only_the_body_counts(message_type: int | None) -> None:
    request = wire.WebSocketRequest(body=envelope.build_envelope(b"sealed", NOW), verb="X", headers=["a:b"])
    data = wire.WebSocketMessage(type=message_type, request=request).SerializeToString()
    assert envelope.unwrap_envelope(data).content == b"sealed"


@pytest.mark.parametrize("unknown", UNKNOWN_FIELDS)
def test_unknown_fields_change_nothing(unknown: bytes) -> None:
    inner = envelope.build_envelope(b"sealed", NOW)
    read = envelope.unwrap_envelope(envelope.wrap_request(inner + unknown) + unknown)
    assert read == envelope.unwrap_envelope(envelope.wrap_request(inner))


def test_every_id_may_stand_as_source() -> None:
    assert envelope.unwrap_envelope(written(source=ID.upper())).source == ID.upper()
    assert envelope.unwrap_envelope(written(type=7)).type is EnvelopeType.CLOSED_GROUP_MESSAGE


def test_every_cut_is_refused() -> None:
    whole = envelope.wrap_envelope(b"sealed", NOW, style=CURRENT)
    for size in range(len(whole)):
        with pytest.raises(BadFormat):
            envelope.unwrap_envelope(whole[:size])


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=100))
@example(b"\x0b\x0c")
@example(b"\x0c")
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(BadFormat):
        envelope.unwrap_envelope(noise)
    with pytest.raises(BadFormat):
        envelope.unwrap_envelope(envelope.wrap_request(noise))


def test_damage_is_read_or_refused_in_the_family() -> None:
    whole = envelope.wrap_envelope(b"sealed", NOW, style=LEGACY)
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with suppress(BadFormat):
            envelope.unwrap_envelope(bytes(damaged))
