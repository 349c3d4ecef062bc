"""Onion requests against known answers (onion-requests §9)."""

import base64
import json
from importlib.resources import files

import nacl.bindings
import orjson
import pytest

from session_protocol import errors, onion
from session_protocol.onion import EncryptionType

VECTORS = {
    group["operation"]: group["cases"]
    for group in json.loads(files("session_conformance.vectors").joinpath("onion.json").read_text("utf-8"))[
        "groups"
    ]
}
ERRORS = {error.code: error for error in vars(errors).values() if hasattr(error, "code")}


def cases(operation):
    return pytest.mark.parametrize("case", VECTORS[operation], ids=lambda case: case["id"])


def node_pk(secret: bytes) -> bytes:
    return nacl.bindings.crypto_scalarmult_base(secret)


def refusal(case):
    return pytest.raises(ERRORS[case["error"]])


def given_key(values) -> onion.ReplyKey:
    return onion.ReplyKey(bytes.fromhex(values["key"]), EncryptionType(values["enc_type"]))


def test_every_operation_is_run_here():
    assert set(VECTORS) == {
        "onion.build",
        "onion.encrypt_layer",
        "onion.hop_message",
        "onion.is_allowed_target",
        "onion.open_reply",
        "onion.open_server_request",
        "onion.peel",
        "onion.seal_reply",
        "onion.v4_request",
        "onion.v4_response",
    }


@cases("onion.encrypt_layer")
def test_layers(case):
    given, expected = case["input"], case["output"]
    enc_type = EncryptionType(given["enc_type"])
    ephemeral_secret, node_secret = (
        bytes.fromhex(given["ephemeral_secret"]),
        bytes.fromhex(given["node_x25519_sk"]),
    )
    ephemeral_public, node_public = node_pk(ephemeral_secret), node_pk(node_secret)
    assert (ephemeral_public.hex(), node_public.hex()) == (
        expected["ephemeral_key"],
        expected["node_x25519_pk"],
    )
    key = onion.client_key(enc_type, ephemeral_secret, ephemeral_public, node_public)
    assert key.key.hex() == expected["key"]
    assert onion.node_key(enc_type, node_secret, node_public, ephemeral_public) == key
    plaintext = bytes.fromhex(given["plaintext"])
    blob = onion.encrypt(key, plaintext, bytes.fromhex(given["nonce"]))
    assert blob.hex() == expected["blob"]
    assert onion.decrypt(key, blob) == plaintext


@cases("onion.open_server_request")
def test_server_requests(case):
    secret = bytes.fromhex(case["input"]["x25519_sk"])
    plaintext, key = onion.open_server_request(secret, node_pk(secret), bytes.fromhex(case["input"]["body"]))
    assert plaintext.hex() == case["output"]["plaintext"]
    assert key.key.hex() == case["output"].get("key", key.key.hex())


@cases("onion.build")
def test_builds(case):
    given = case["input"]
    destination = dict(given["destination"])
    kind = destination.pop("kind")
    for name in ("ed25519_pk", "x25519_pk"):
        if name in destination:
            destination[name] = bytes.fromhex(destination[name])
    built = onion.build(
        [
            onion.Hop(bytes.fromhex(hop["ed25519_pk"]), bytes.fromhex(hop["x25519_pk"]))
            for hop in given["path"]
        ],
        (onion.NodeDestination if kind == "node" else onion.ServerDestination)(**destination),
        bytes.fromhex(given["payload"]),
        enc_type=EncryptionType(given["enc_type"]),
        announce_enc_type=given["announce_enc_type"],
        ephemeral_secrets=[bytes.fromhex(seed) for seed in given["ephemeral_seeds"]],
        nonces=[bytes.fromhex(nonce) for nonce in given["nonces"]],
    )
    assert built.body.hex() == case["output"]["body"]


def describe(layer):
    """Return a layer as the testee contract describes it (testee-operations §2.5), and its inner bytes."""
    match layer:
        case onion.RelayToNode():
            described = {
                "kind": "relay",
                "destination": layer.next_ed25519.hex(),
                "ephemeral_key": layer.ephemeral_key.hex(),
                "enc_type": layer.enc_type.value,
            }
            return described, None
        case onion.RelayToServer():
            described = {
                "kind": "server",
                "host": layer.host,
                "port": layer.port,
                "protocol": layer.protocol,
                "target": layer.target,
            }
            return described, layer.payload.hex()
    return {
        "kind": "node",
        "control": layer.control,
        "json": layer.json,
        "base64": layer.base64,
    }, layer.body.hex()


@cases("onion.peel")
def test_peels(case):
    secret, body = bytes.fromhex(case["input"]["node_x25519_sk"]), bytes.fromhex(case["input"]["body"])

    def peel():
        outer = onion.parse_outer(body)
        return onion.peel(secret, node_pk(secret), outer.blob, outer.ephemeral_key, outer.enc_type)

    if case["result"] == "invalid":
        with refusal(case) as refused:
            peel()
        assert isinstance(refused.value, onion.InvalidLayer) == case["id"].startswith("classify-")
        return
    described, inner = describe(peel().layer)
    assert described == case["output"]["layer"]
    assert inner == case["output"].get("inner", inner)


@cases("onion.seal_reply")
def test_seals_replies(case):
    given = case["input"]
    sealed = onion.seal_reply(
        given_key(given), bytes.fromhex(given["plaintext"]), nonce=bytes.fromhex(given["nonce"])
    )
    assert base64.b64encode(sealed).decode() == case["output"]["reply_base64"]


@cases("onion.open_reply")
def test_opens_replies(case):
    given, reply = case["input"], bytes.fromhex(case["input"]["reply"])
    if case["result"] == "invalid":
        with refusal(case):
            onion.open_node_reply(given_key(given), reply)
        return
    expected = case["output"]
    body = bytes.fromhex(expected["body"])
    if given["kind"] == "server":
        response = onion.decode_v4_response(onion.open_reply(given_key(given), reply))
        assert (response.code, response.headers, response.body) == (
            expected["status"],
            expected["headers"],
            body,
        )
    else:
        opened = onion.open_node_reply(given_key(given), reply)
        assert opened.status == expected["status"]
        assert opened.body == (body.decode() if isinstance(opened.body, str) else orjson.loads(body))


@cases("onion.v4_request")
def test_v4_requests(case):
    data = bytes.fromhex(case["input"]["data"])
    if case["result"] == "invalid":
        with refusal(case):
            onion.decode_v4_request(data)
        return
    expected = case["output"]
    body = None if expected["body"] is None else bytes.fromhex(expected["body"])
    request = onion.V4Request(expected["method"], expected["endpoint"], expected["headers"], body)
    assert onion.decode_v4_request(data) == request
    if "read_only" not in case.get("flags", ()):
        assert (
            onion.encode_v4_request(request.method, request.endpoint, request.headers, request.body) == data
        )


@cases("onion.v4_response")
def test_v4_responses(case):
    data = bytes.fromhex(case["input"]["data"])
    if case["result"] == "invalid":
        with refusal(case):
            onion.decode_v4_response(data)
        return
    expected = case["output"]
    response = onion.V4Response(expected["code"], expected["headers"], bytes.fromhex(expected["body"]))
    assert onion.decode_v4_response(data) == response
    if "read_only" not in case.get("flags", ()):
        assert onion.encode_v4_response(response.code, response.headers, response.body) == data


@cases("onion.hop_message")
def test_hop_messages(case):
    given = case["input"]
    message = onion.HopMessage(
        bytes.fromhex(given["data"]),
        bytes.fromhex(given["ephemeral_key"]),
        EncryptionType(given["enc_type"]),
        given["hop_no"],
    )
    assert onion.encode_hop_message(message).hex() == case["output"]["message"]
    assert onion.decode_hop_message(bytes.fromhex(case["output"]["message"])) == message


@cases("onion.is_allowed_target")
def test_allowed_targets(case):
    assert onion.is_allowed_target(**case["input"]) == case["output"]["allowed"]
