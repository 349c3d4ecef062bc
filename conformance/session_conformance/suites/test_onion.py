"""Judge onion requests as builder, as reader of answers and as node (onion-requests §§1-5)."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from session_conformance import strategies, vectors
from session_conformance.checks import check, reading, refused
from session_conformance.contract import Testee
from session_conformance.genuine import Genuine
from session_protocol import onion
from session_protocol.onion import EncryptionType, FinalDestination, RelayToNode, RelayToServer
from session_protocol.service_nodes import NodeIdentity

encryption_types = st.sampled_from(EncryptionType)
payloads = st.one_of(
    st.just(b'{"method":"info","params":{}}'),
    st.text(max_size=300).map(
        lambda text: json.dumps({"method": "store", "params": {"data": text}}).encode()
    ),
)
paths = st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=5, unique=True).map(
    lambda seeds: [NodeIdentity.from_seed(seed) for seed in seeds]
)


@dataclass(frozen=True, slots=True)
class BuiltRequest:
    """What a testee built: the bytes for the guard, and its handle for the answer."""

    body: bytes
    reply_key: object


def hop(node: NodeIdentity) -> dict[str, str]:
    return {"ed25519_pk": node.ed25519_pk.hex(), "x25519_pk": node.x25519_pk.hex()}


def build(
    testee: Testee,
    relays: Sequence[NodeIdentity],
    destination: dict[str, Any],
    payload: bytes,
    enc_type: EncryptionType,
) -> BuiltRequest:
    built = testee.call(
        "onion.build",
        path=[hop(node) for node in relays],
        destination=destination,
        payload=payload.hex(),
        enc_type=enc_type.value,
    )
    return BuiltRequest(bytes.fromhex(built["body"]), built["reply_key"])


def build_to_node(
    testee: Testee, nodes: Sequence[NodeIdentity], payload: bytes, enc_type: EncryptionType
) -> BuiltRequest:
    """Build a request to the last of ``nodes`` through the others."""
    return build(testee, nodes[:-1], {"kind": "node", **hop(nodes[-1])}, payload, enc_type)


def walk(nodes: Sequence[NodeIdentity], body: bytes) -> tuple[list[bytes], onion.Peeled]:
    """Peel a request at each node in turn; return the ephemeral keys and the last layer."""
    with reading("the onion request"):
        return _walk(nodes, body)


def _walk(nodes: Sequence[NodeIdentity], body: bytes) -> tuple[list[bytes], onion.Peeled]:
    outer = onion.parse_outer(body)
    blob, ephemeral_key, enc_type = outer.blob, outer.ephemeral_key, outer.enc_type
    keys = [ephemeral_key]
    for number, node in enumerate(nodes):
        peeled = onion.peel(node.x25519_sk, node.x25519_pk, blob, ephemeral_key, enc_type)
        layer = peeled.layer
        if not isinstance(layer, RelayToNode):
            assert number == len(nodes) - 1, f"layer {number} ends the way before the destination"
            return keys, peeled
        assert number < len(nodes) - 1, "the destination is asked to relay"
        assert layer.next_ed25519 == nodes[number + 1].ed25519_pk, f"layer {number} names another next node"
        blob, ephemeral_key, enc_type = layer.blob, layer.ephemeral_key, layer.enc_type
        keys.append(ephemeral_key)
    raise AssertionError("the request has more layers than nodes")


@check("ONION-01", "ONION-02", "ONION-04", "ONION-08", ops=("onion.build",))
@given(nodes=paths, payload=payloads, enc_type=encryption_types)
def test_builds_what_nodes_peel(
    testee: Testee, nodes: list[NodeIdentity], payload: bytes, enc_type: EncryptionType
) -> None:
    built = build_to_node(testee, nodes, payload, enc_type)
    _, last = walk(nodes, built.body)
    assert isinstance(last.layer, FinalDestination), f"the destination finds {type(last.layer).__name__}"
    assert "headers" in last.layer.control
    assert last.layer.body == payload


@check("ONION-03", ops=("onion.build",))
@given(nodes=paths, payload=payloads, enc_type=encryption_types)
def test_uses_each_ephemeral_key_once(
    testee: Testee, nodes: list[NodeIdentity], payload: bytes, enc_type: EncryptionType
) -> None:
    first, _ = walk(nodes, build_to_node(testee, nodes, payload, enc_type).body)
    second, _ = walk(nodes, build_to_node(testee, nodes, payload, enc_type).body)
    assert len({*first, *second}) == len(first) + len(second), "an ephemeral key was used twice"


@check("ONION-05", ops=("onion.build",))
@given(
    nodes=paths,
    server=st.binary(min_size=32, max_size=32).map(NodeIdentity.from_seed),
    payload=st.binary(max_size=300),
    enc_type=encryption_types,
    protocol=st.sampled_from([("http", 80), ("http", 8080), ("https", 443)]),
)
def test_builds_requests_to_servers(
    testee: Testee,
    nodes: list[NodeIdentity],
    server: NodeIdentity,
    payload: bytes,
    enc_type: EncryptionType,
    protocol: tuple[str, int],
) -> None:
    destination = {
        "kind": "server",
        "host": "community.example",
        "protocol": protocol[0],
        "port": protocol[1],
        "target": "/oxen/v4/lsrpc",
        "x25519_pk": server.x25519_pk.hex(),
    }
    built = build(testee, nodes, destination, payload, enc_type)
    _, last = walk(nodes, built.body)
    layer = last.layer
    assert isinstance(layer, RelayToServer), f"the last relay finds {type(layer).__name__}"
    assert (layer.host, layer.target) == ("community.example", "/oxen/v4/lsrpc")
    assert (layer.protocol, layer.port) == protocol
    with reading("the request to the server"):
        opened, _ = onion.open_server_request(server.x25519_sk, server.x25519_pk, layer.payload)
    assert opened == payload


@check("ONION-06", ops=("onion.build", "onion.open_reply"))
@given(
    nodes=paths,
    enc_type=encryption_types,
    status=st.sampled_from([200, 401, 421]),
    answer=st.dictionaries(st.sampled_from(["t", "hash", "swarm"]), st.text(max_size=40), min_size=1),
    in_base64=st.booleans(),
)
def test_opens_answers(
    testee: Testee,
    genuine: Genuine,
    nodes: list[NodeIdentity],
    enc_type: EncryptionType,
    status: int,
    answer: dict[str, str],
    in_base64: bool,
) -> None:
    built = build_to_node(testee, nodes, b'{"method":"info","params":{}}', enc_type)
    _, last = walk(nodes, built.body)
    plaintext = onion.node_reply_plaintext(status, answer, embed_json=False)
    sealed = genuine.seal_reply(last.reply_key, plaintext)
    on_the_wire = base64.b64encode(sealed) if in_base64 else sealed
    opened = testee.call("onion.open_reply", reply_key=built.reply_key, reply=on_the_wire.hex())
    assert opened["status"] == status
    assert json.loads(bytes.fromhex(opened["body"])) == answer


@check("ONION-07", ops=("onion.build", "onion.open_reply"))
@given(nodes=paths, enc_type=encryption_types, data=st.data())
def test_refuses_damaged_answers(
    testee: Testee, genuine: Genuine, nodes: list[NodeIdentity], enc_type: EncryptionType, data: st.DataObject
) -> None:
    built = build_to_node(testee, nodes, b'{"method":"info","params":{}}', enc_type)
    _, last = walk(nodes, built.body)
    sealed = genuine.seal_reply(last.reply_key, onion.node_reply_plaintext(200, {"t": 1}, embed_json=False))
    broken = data.draw(strategies.damaged(sealed), label="damaged answer")
    refused(testee, "onion.open_reply", reply_key=built.reply_key, reply=base64.b64encode(broken).hex())


@check("ONION-09", ops=("onion.peel",))
@given(nodes=paths, payload=payloads, enc_type=encryption_types, data=st.data())
def test_peels_as_a_node(
    testee: Testee,
    genuine: Genuine,
    nodes: list[NodeIdentity],
    payload: bytes,
    enc_type: EncryptionType,
    data: st.DataObject,
) -> None:
    """Build our own request and let the testee be one of its nodes."""
    place = data.draw(st.integers(0, len(nodes) - 1), label="the testee's place")
    built = genuine.onion_request(
        [onion.Hop(node.ed25519_pk, node.x25519_pk) for node in nodes[place:-1]],
        onion.NodeDestination(nodes[-1].ed25519_pk, nodes[-1].x25519_pk),
        payload,
        enc_type,
    )
    peeled = testee.call("onion.peel", node_x25519_sk=nodes[place].x25519_sk.hex(), body=built.body.hex())
    if place == len(nodes) - 1:
        assert peeled["layer"]["kind"] == "node"
        assert peeled["inner"] == payload.hex()
    else:
        assert peeled["layer"]["kind"] == "relay"
        assert peeled["layer"]["destination"] == nodes[place + 1].ed25519_pk.hex()


@check("ONION-09", ops=("onion.peel",))
def test_peels_the_published_requests(testee: Testee) -> None:
    cases = vectors.cases("onion", "onion.peel")
    assert cases, "the vector file lost its onion requests"
    for case in cases:
        if case.result == "invalid":
            refused(testee, "onion.peel", **case.input)
        else:
            peeled = testee.call("onion.peel", **case.input)
            assert peeled["layer"]["kind"] == case.output["layer"]["kind"], case.id


@check("ONION-10", ops=("onion.peel",))
@given(nodes=paths, payload=payloads, enc_type=encryption_types, data=st.data())
def test_refuses_a_damaged_layer(
    testee: Testee,
    genuine: Genuine,
    nodes: list[NodeIdentity],
    payload: bytes,
    enc_type: EncryptionType,
    data: st.DataObject,
) -> None:
    built = genuine.onion_request(
        [onion.Hop(node.ed25519_pk, node.x25519_pk) for node in nodes[:-1]],
        onion.NodeDestination(nodes[-1].ed25519_pk, nodes[-1].x25519_pk),
        payload,
        enc_type,
    )
    outer = onion.parse_outer(built.body)
    broken = data.draw(strategies.damaged(outer.blob), label="damaged layer")
    routing = {"ephemeral_key": outer.ephemeral_key.hex(), "enc_type": enc_type.value}
    refused(
        testee,
        "onion.peel",
        node_x25519_sk=nodes[0].x25519_sk.hex(),
        body=onion.frame(broken, routing).hex(),
    )


@check("ONION-10", ops=("onion.peel",))
@given(nodes=paths, payload=payloads, enc_type=encryption_types)
def test_refuses_a_layer_of_another_node(
    testee: Testee, genuine: Genuine, nodes: list[NodeIdentity], payload: bytes, enc_type: EncryptionType
) -> None:
    built = genuine.onion_request(
        [onion.Hop(node.ed25519_pk, node.x25519_pk) for node in nodes[:-1]],
        onion.NodeDestination(nodes[-1].ed25519_pk, nodes[-1].x25519_pk),
        payload,
        enc_type,
    )
    refused(testee, "onion.peel", node_x25519_sk=nodes[1].x25519_sk.hex(), body=built.body.hex())
