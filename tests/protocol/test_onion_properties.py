"""Onion requests for any path: what is built can be peeled, and whatever is damaged is refused."""

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_protocol import onion
from session_protocol.errors import BadFormat, DecryptFailed, InvalidArgument, InvalidLength, ProtocolError
from session_protocol.onion import EncryptionType, FinalDestination, RelayToNode, RelayToServer
from session_protocol.service_nodes import NodeIdentity

NODES = tuple(NodeIdentity.from_seed(bytes([number]) * 32) for number in range(1, 17))
SERVER = NodeIdentity.from_seed(b"server".ljust(32))

enc_types = st.sampled_from(EncryptionType)
payloads = st.binary(max_size=200)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def hops(count):
    return [onion.Hop(node.ed25519_pk, node.x25519_pk) for node in NODES[:count]]


def node_destination(node):
    return onion.NodeDestination(node.ed25519_pk, node.x25519_pk)


def peel_outer(node, body):
    outer = onion.parse_outer(body)
    return onion.peel(node.x25519_sk, node.x25519_pk, outer.blob, outer.ephemeral_key, outer.enc_type)


def walk(body, nodes, enc_types):
    """Peel at each node in turn; return the last layer and all ephemeral keys."""
    outer = onion.parse_outer(body)
    blob, ephemeral_key, enc_type = outer.blob, outer.ephemeral_key, outer.enc_type
    keys = []
    for place, node in enumerate(nodes):
        assert enc_type == enc_types[place]
        keys.append(ephemeral_key)
        peeled = onion.peel(node.x25519_sk, node.x25519_pk, blob, ephemeral_key, enc_type)
        if not isinstance(peeled.layer, RelayToNode):
            assert place == len(nodes) - 1
            return peeled, keys
        assert peeled.layer.next_ed25519 == nodes[place + 1].ed25519_pk
        blob, ephemeral_key, enc_type = peeled.layer.blob, peeled.layer.ephemeral_key, peeled.layer.enc_type
    raise AssertionError("the last node is asked to relay")


@given(
    types=st.lists(enc_types, min_size=1, max_size=16),
    payload=payloads,
    control=st.none() | st.dictionaries(st.sampled_from(["x", "y"]), json_values),
    status=st.integers(200, 599),
    answer=json_values,
)
def test_a_node_gets_what_was_sent_and_its_answer_comes_back(types, payload, control, status, answer):
    relays = len(types) - 1
    nodes = (*NODES[:relays], NODES[-1])
    given_control = None if control is None else {"headers": {}, **control}
    built = onion.build(
        hops(relays), node_destination(NODES[-1]), payload, layer_enc_types=types, control=given_control
    )
    last, keys = walk(built.body, nodes, types)
    assert isinstance(last.layer, FinalDestination)
    assert last.layer.body == payload
    assert last.layer.control == ({"headers": ""} if control is None else given_control)
    assert (last.layer.json, last.layer.base64) == (False, True)
    assert len(set(keys)) == len(types)
    assert last.reply_key == built.reply_key
    sealed = onion.seal_reply(last.reply_key, onion.node_reply_plaintext(status, answer, embed_json=True))
    for on_the_wire in (sealed, base64.b64encode(sealed)):
        assert onion.open_node_reply(built.reply_key, on_the_wire).status == status


@given(relays=st.integers(1, 15), enc_type=enc_types, payload=payloads, port=st.integers(0, 65535))
def test_a_server_gets_what_was_sent(relays, enc_type, payload, port):
    destination = onion.ServerDestination(
        host="community.example", x25519_pk=SERVER.x25519_pk, protocol="http", port=port
    )
    built = onion.build(hops(relays), destination, payload, enc_type=enc_type)
    last, _ = walk(built.body, NODES[:relays], [enc_type] * relays)
    layer = last.layer
    assert isinstance(layer, RelayToServer)
    assert (layer.host, layer.port, layer.protocol) == ("community.example", port, "http")
    assert onion.is_allowed_target(layer.protocol, layer.target)
    opened, reply_key = onion.open_server_request(SERVER.x25519_sk, SERVER.x25519_pk, layer.payload)
    assert (opened, reply_key) == (payload, built.reply_key)


@given(enc_type=enc_types, payload=payloads)
def test_without_relays_the_body_is_for_the_server_itself(enc_type, payload):
    destination = onion.ServerDestination(host="community.example", x25519_pk=SERVER.x25519_pk)
    built = onion.build([], destination, payload, enc_type=enc_type)
    opened, _ = onion.open_server_request(SERVER.x25519_sk, SERVER.x25519_pk, built.body)
    assert opened == payload


@given(enc_type=enc_types, relays=st.integers(0, 4), announce=st.sampled_from([None, True, False]))
def test_the_encryption_is_named_where_it_should_be(enc_type, relays, announce):
    built = onion.build(
        hops(relays), node_destination(NODES[-1]), b"{}", enc_type=enc_type, announce_enc_type=announce
    )
    expected = enc_type is EncryptionType.XCHACHA20 if announce is None else announce
    _, outer = onion.parse_frame(built.body)
    assert ("enc_type" in outer) == expected
    if expected or enc_type is EncryptionType.AES_GCM:
        walk(built.body, (*NODES[:relays], NODES[-1]), [enc_type] * (relays + 1))


@given(enc_type=enc_types, payload=payloads, data=st.data())
def test_every_flipped_bit_of_a_blob_is_refused(enc_type, payload, data):
    node = NODES[0]
    outer = onion.parse_outer(onion.build([], node_destination(node), payload, enc_type=enc_type).body)
    bit = data.draw(st.integers(0, 8 * len(outer.blob) - 1))
    broken = bytearray(outer.blob)
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DecryptFailed):
        onion.peel(node.x25519_sk, node.x25519_pk, bytes(broken), outer.ephemeral_key, enc_type)


@given(enc_type=enc_types, payload=payloads, data=st.data())
def test_every_truncated_body_is_refused(enc_type, payload, data):
    body = onion.build(hops(1), node_destination(NODES[-1]), payload, enc_type=enc_type).body
    with pytest.raises(BadFormat):
        onion.parse_outer(body[: data.draw(st.integers(0, len(body) - 1))])


@given(enc_type=enc_types, payload=payloads, data=st.data())
def test_every_truncated_blob_is_refused(enc_type, payload, data):
    node = NODES[0]
    outer = onion.parse_outer(onion.build([], node_destination(node), payload, enc_type=enc_type).body)
    cut = outer.blob[: data.draw(st.integers(0, len(outer.blob) - 1))]
    with pytest.raises(DecryptFailed):
        onion.peel(node.x25519_sk, node.x25519_pk, cut, outer.ephemeral_key, enc_type)


@given(payload=payloads, data=st.data())
def test_a_damaged_body_never_reaches_anybody_else(payload, data):
    """A flipped bit anywhere in the posted body: refused, or (in the routing's text) without effect."""
    node = NODES[0]
    body = onion.build([], node_destination(node), payload, enc_type=EncryptionType.XCHACHA20).body
    bit = data.draw(st.integers(0, 8 * len(body) - 1))
    broken = bytearray(body)
    broken[bit // 8] ^= 1 << bit % 8
    try:
        peeled = peel_outer(node, bytes(broken))
    except ProtocolError:
        return
    assert isinstance(peeled.layer, FinalDestination)
    assert peeled.layer.body == payload


@given(body=st.binary(max_size=200))
def test_random_bodies_end_in_the_one_family(body):
    with pytest.raises(ProtocolError):
        peel_outer(NODES[0], body)


@given(plaintext=st.binary(max_size=80), routing=json_values)
def test_random_layers_end_in_the_one_family(plaintext, routing):
    for candidate in (
        plaintext,
        onion.frame(plaintext, {"headers": 0} if routing is None else {"host": routing}),
    ):
        try:
            onion.classify(candidate)
        except ProtocolError:
            continue


@given(body=st.binary(max_size=100), enc_type=enc_types)
def test_random_answers_end_in_the_one_family(body, enc_type):
    key = onion.ReplyKey(b"k" * 32, enc_type)
    for opening in (onion.open_reply, onion.open_node_reply):
        with pytest.raises(ProtocolError):
            opening(key, body)
    for reading in (
        onion.parse_node_reply,
        onion.decode_v4_request,
        onion.decode_v4_response,
        onion.decode_hop_message,
    ):
        with pytest.raises(ProtocolError):
            reading(body)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=st.text(st.characters(codec="utf-8"), max_size=30),
    headers=st.dictionaries(
        st.text(string.ascii_letters + "-", min_size=1), st.text(max_size=10), max_size=3
    ),
    body=st.none() | st.binary(max_size=100),
)
def test_v4_requests_are_read_back(method, path, headers, body):
    encoded = onion.encode_v4_request(method, f"/{path}", headers, body)
    assert onion.decode_v4_request(encoded) == onion.V4Request(method, f"/{path}", headers, body)


@given(
    code=st.integers(100, 599),
    headers=st.dictionaries(st.text(string.ascii_lowercase, min_size=1), st.text(max_size=10), max_size=3),
    body=st.binary(max_size=100),
    data=st.data(),
)
def test_v4_answers_are_read_back_and_never_when_cut(code, headers, body, data):
    encoded = onion.encode_v4_response(code, headers, body)
    assert onion.decode_v4_response(encoded) == onion.V4Response(code, headers, body)
    with pytest.raises(BadFormat):
        onion.decode_v4_response(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@given(
    payload=st.binary(max_size=50),
    key=st.binary(min_size=32, max_size=32),
    enc_type=enc_types,
    hop_no=st.integers(1, 2**40),
)
def test_hop_messages_are_read_back(payload, key, enc_type, hop_no):
    message = onion.HopMessage(payload, key, enc_type, hop_no)
    assert onion.decode_hop_message(onion.encode_hop_message(message)) == message


def test_what_no_node_could_understand_is_not_built():
    destination = node_destination(NODES[-1])
    server = onion.ServerDestination(host="h", x25519_pk=SERVER.x25519_pk)
    with pytest.raises(InvalidArgument, match="at most 15"):
        onion.build(hops(1) * 16, destination, b"")
    with pytest.raises(InvalidArgument, match="headers"):
        onion.build([], destination, b"", control={})
    with pytest.raises(InvalidArgument, match="no control"):
        onion.build(hops(1), server, b"", control={"headers": ""})
    with pytest.raises(InvalidArgument, match="1 values for 2 layers"):
        onion.build(hops(1), destination, b"", ephemeral_secrets=[b"s" * 32])
    with pytest.raises(InvalidLength, match="nonce of 12"):
        onion.build([], destination, b"", nonces=[b"n" * 24])
    with pytest.raises(InvalidLength, match="ephemeral secret"):
        onion.build([], destination, b"", ephemeral_secrets=[b"s"])
    with pytest.raises(InvalidLength, match="Ed25519"):
        onion.build(hops(1), onion.NodeDestination(b"short", NODES[0].x25519_pk), b"")
    with pytest.raises(InvalidArgument, match="small order"):
        onion.build([onion.Hop(NODES[0].ed25519_pk, bytes(32))], destination, b"")
