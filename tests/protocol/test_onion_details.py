"""Onion requests: error texts, aliases, and the shape of answers (onion-requests §§1, 2, 4)."""

import random

import pytest

from session_protocol import bencode, onion
from session_protocol.errors import BadFormat, DecryptFailed, InvalidArgument, UnsupportedVersion
from session_protocol.onion import EncryptionType
from session_protocol.service_nodes import NodeIdentity

NODE = NodeIdentity.from_seed(b"\x11" * 32)
KEY = onion.ReplyKey(b"k" * 32, EncryptionType.XCHACHA20)
EPHEMERAL = "ab" * 32


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, EncryptionType.AES_GCM),
        ("aes-gcm", EncryptionType.AES_GCM),
        ("gcm", EncryptionType.AES_GCM),
        ("xchacha20", EncryptionType.XCHACHA20),
        ("xchacha20-poly1305", EncryptionType.XCHACHA20),
    ],
)
def test_encryption_types_have_aliases(name, expected):
    assert onion.parse_encryption_type(name) is expected


@pytest.mark.parametrize("name", ["", "AES-GCM", "aes-cbc", "cbc", "rot13"])
def test_other_encryption_types_are_refused(name):
    with pytest.raises(UnsupportedVersion, match=r"use one of aes-gcm, gcm"):
        onion.parse_encryption_type(name)


@pytest.mark.parametrize(
    ("enc_type", "overhead"), [(EncryptionType.AES_GCM, 28), (EncryptionType.XCHACHA20, 40)]
)
def test_overhead(enc_type, overhead):
    key = onion.ReplyKey(b"k" * 32, enc_type)
    assert enc_type.overhead == overhead
    assert len(onion.seal_reply(key, b"Grumpy cat says no!")) == 19 + overhead
    assert onion.open_reply(key, onion.seal_reply(key, b"")) == b""


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "Unexpected payload size; expected ciphertext size"),
        (b"\x05\x00\x00", "Unexpected payload size; expected ciphertext size"),
        (b"\x05\x00\x00\x00abc", "Unexpected payload size 3, expected >= 5"),
        (b"\xff\xff\xff\xff{}", "Unexpected payload size 2, expected >= 4294967295"),
    ],
)
def test_frames_are_refused_in_the_words_of_nodes(data, text):
    with pytest.raises(BadFormat) as refused:
        onion.parse_frame(data)
    assert str(refused.value) == text


def test_a_frame_may_have_an_empty_blob_and_unknown_keys():
    assert onion.parse_frame(onion.frame(b"", {"anything": 1})) == (b"", {"anything": 1})


def outer(**routing):
    return onion.parse_outer(onion.frame(b"blob", {"ephemeral_key": EPHEMERAL, **routing}))


def test_the_hop_counter_of_a_client_is_never_negative():
    assert outer().hop_no == 0
    assert outer(hop_no=-3).hop_no == 0
    assert outer(hop_no=14).hop_no == 14


@pytest.mark.parametrize(
    "routing",
    [
        {"hop_no": "1"},
        {"hop_no": True},
        {"hop_no": 1.5},
        {"enc_type": "rot13"},
        {"enc_type": None},
        {"ephemeral_key": EPHEMERAL[:62]},
        {"ephemeral_key": EPHEMERAL + "ab"},
        {"ephemeral_key": " " + EPHEMERAL[:62] + " "},
        {"ephemeral_key": EPHEMERAL + " "},
        {"ephemeral_key": "zz" * 32},
        {"ephemeral_key": 5},
    ],
)
def test_bad_outer_routing_is_refused(routing):
    with pytest.raises(BadFormat):
        outer(**routing)


def test_a_layer_that_says_nothing_carries_the_key_for_its_answer():
    secret = b"s" * 32
    public = NodeIdentity.from_seed(b"\x22" * 32)
    key = onion.client_key(EncryptionType.AES_GCM, public.x25519_sk, public.x25519_pk, NODE.x25519_pk)
    blob = onion.encrypt(key, onion.frame(secret, {}), b"n" * 12)
    with pytest.raises(onion.InvalidLayer) as refused:
        onion.peel(NODE.x25519_sk, NODE.x25519_pk, blob, public.x25519_pk, EncryptionType.AES_GCM)
    assert refused.value.reply_key == key
    assert key.key.hex() not in repr(key)


def test_an_ephemeral_key_of_small_order_is_an_invalid_ciphertext():
    with pytest.raises(DecryptFailed, match="small order"):
        onion.peel(NODE.x25519_sk, NODE.x25519_pk, b"b" * 60, bytes(32), EncryptionType.AES_GCM)


def test_answers_are_written_as_nodes_write_them():
    write = onion.node_reply_plaintext
    assert write(200, {"t": 1, "hf": [21, 2]}, embed_json=False) == (
        b'{"body":"{\\"hf\\":[21,2],\\"t\\":1}","status":200}'
    )
    assert (
        write(200, {"t": 1, "hf": [21, 2]}, embed_json=True) == b'{"body":{"hf":[21,2],"t":1},"status":200}'
    )
    assert write(421, "text", embed_json=False) == write(421, b"text", embed_json=True)
    assert write(421, "text", embed_json=False) == b'{"body":"text","status":421}'
    with pytest.raises(InvalidArgument):
        write(200, b"\xff", embed_json=False)
    with pytest.raises(InvalidArgument):
        write(200, {"too": 2**64}, embed_json=False)


@pytest.mark.parametrize(
    ("plaintext", "status", "body"),
    [
        (b'{"body":"{\\"t\\":1}","status":200}', 200, {"t": 1}),
        (b'{"body":{"t":1},"status":200}', 200, {"t": 1}),
        (b'{"body":"Invalid json","status":400}', 400, "Invalid json"),
        (b'{"body":"12","status":200}', 200, "12"),
        (b'{"body":"{not json","status":200}', 200, "{not json"),
        (b'{"status":200,"body":null,"extra":1}', 200, None),
    ],
)
def test_answers_of_nodes_are_read(plaintext, status, body):
    assert onion.parse_node_reply(plaintext) == onion.NodeReply(status, body)


@pytest.mark.parametrize(
    "plaintext", [b"", b"[]", b"{}", b'{"status":200}', b'{"body":"","status":"200"}', b"{"]
)
def test_other_answers_are_refused(plaintext):
    with pytest.raises(BadFormat):
        onion.parse_node_reply(plaintext)


def test_randomness_is_an_argument():
    def once():
        rng = random.Random(7)
        path = [onion.Hop(NODE.ed25519_pk, NODE.x25519_pk)] * 2
        destination = onion.NodeDestination(NODE.ed25519_pk, NODE.x25519_pk)
        return onion.build(path, destination, b"{}", random_bytes=rng.randbytes)

    assert once() == once()


def test_v4_headers_of_answers_are_lower_case_and_without_length():
    encoded = onion.encode_v4_response(200, {"Content-Type": "text/plain", "CONTENT-LENGTH": "3"}, b"abc")
    assert encoded == b'l52:{"code":200,"headers":{"content-type":"text/plain"}}3:abce'
    with pytest.raises(InvalidArgument, match="slash"):
        onion.encode_v4_request("GET", "room", {}, None)


def test_a_stray_byte_of_a_v4_request_is_refused():
    with pytest.raises(BadFormat):
        onion.decode_v4_request(b'l50:{"method":"GET","endpoint":"/room/x","headers":{}}xe')


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data": None}, "required data payload not found"),
        ({"ephemeral_key": None}, "ephemeral key not found"),
        ({"ephemeral_key": b"short"}, "5 bytes"),
        ({"enc_type": b"\xff"}, "unknown encryption type"),
        ({"hop_no": b"1"}, "not an integer"),
    ],
)
def test_bad_hop_messages_are_refused(changes, text):
    fields = {"data": b"x", "ephemeral_key": b"k" * 32, "hop_no": 3, **changes}
    with pytest.raises(BadFormat, match=text):
        onion.decode_hop_message(
            bencode.encode({name: value for name, value in fields.items() if value is not None})
        )


def test_hop_messages_have_defaults_and_a_lowest_counter():
    message = onion.decode_hop_message(bencode.encode({"data": b"x", "ephemeral_key": b"k" * 32, "z": 1}))
    assert message == onion.HopMessage(b"x", b"k" * 32, EncryptionType.AES_GCM, 1)
    low = onion.decode_hop_message(bencode.encode({"data": b"", "ephemeral_key": b"k" * 32, "hop_no": -4}))
    assert low.hop_no == 1
