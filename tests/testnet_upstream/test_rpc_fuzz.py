"""Nonsense at a node's front door: always a status that is documented, never a 500, and the node lives on."""

import contextlib
import http.client
import json
import os
import socket
import ssl
import urllib.parse
from collections.abc import Iterator
from typing import Any

import nacl.bindings
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_protocol import onion
from session_testnet import NetworkHandle, NodeHandle

RPC, ONION = "/storage_rpc/v1", "/onion_req/v2"
MIB = 1024 * 1024
LIMIT = 10 * MIB
# storage-rpc §8, without those that only knobs, faults or a busy node cause.
STATUSES = {200, 400, 401, 403, 404, 406, 421}
HASH, TOKEN = "S" * 43, "03" + "01" * 35
ACCOUNT, GROUP = "05" + "ab" * 32, "03" + "cd" * 32
FUZZ = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])

METHODS: dict[str, tuple[str, ...]] = {
    "store": ("timestamp", "ttl", "expiry", "data", "namespace", "sig_timestamp"),
    "retrieve": (
        "timestamp",
        "namespace",
        "last_hash",
        "lastHash",
        "max_count",
        "max_size",
        "reverse_direction",
    ),
    "delete": ("messages", "required"),
    "delete_all": ("timestamp", "namespace"),
    "delete_before": ("before", "namespace"),
    "expire_all": ("expiry", "namespace"),
    "expire": ("messages", "expiry", "shorten", "extend"),
    "get_expiries": ("messages", "timestamp"),
    "revoke_subaccount": ("revoke", "timestamp"),
    "unrevoke_subaccount": ("unrevoke", "timestamp"),
    "revoked_subaccounts": ("timestamp",),
    "get_swarm": (),
    "get_snodes_for_pubkey": (),
    "info": ("anything",),
    "active_nodes_bin": ("anything",),
    "oxend_request": ("endpoint", "params"),
    "batch": ("requests",),
    "sequence": ("requests",),
    "ifelse": ("if", "then", "else"),
}
EVERYWHERE = ("pubkey", "pubKey", "signature", "pubkey_ed25519", "subaccount", "subaccount_sig")

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.integers(-40_000, 40_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=80),
    st.sampled_from(
        [
            *("", "all", "AAAA", "=", "A" * 86, "A" * 86 + "==", HASH, HASH[1:] + "=", TOKEN, ACCOUNT, GROUP),
            *(
                "0" * 64,
                "é" * 32,
                "x" * 33,
                "get_service_nodes",
                "ons_resolve",
                "1700000000000",
                "-1",
                "\x00",
            ),
            *(0, 1, -1, 2**31, 2**53, 2**63 - 1, 2**63, 1_700_000_000_000, -3741, -1, -10, -11, 32767, 32768),
        ]
    ),
)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["method", "params", "hf_at_least", "type", "fields", "x"]), inner)
    ),
    max_leaves=8,
)
plausible = {
    "pubkey": st.sampled_from([ACCOUNT, GROUP, ACCOUNT.upper(), "05" + "ab" * 31]),
    "signature": st.sampled_from(["A" * 86 + "==", "A" * 86, "b" * 88]),
    "messages": st.lists(st.sampled_from([HASH, HASH[1:], "é" * 43]), max_size=3),
    "timestamp": st.sampled_from([1_700_000_000_000, 12, 4_000_000_000_000]),
    "namespace": st.sampled_from([0, 10, -1, -10, -11, -3741, 42, "all"]),
    "revoke": st.lists(st.sampled_from([TOKEN, "x"]), max_size=52),
}


@st.composite
def requests(draw: st.DrawFn, depth: int = 0) -> dict[str, Any]:
    method = draw(st.sampled_from(list(METHODS)))
    params: dict[str, Any] = {}
    for key in (*EVERYWHERE, *METHODS[method]):
        how = draw(st.integers(0, 3))
        if how == 1:
            params[key] = draw(junk)
        elif how == 2 and key in plausible:
            params[key] = draw(plausible[key])
    if method in ("batch", "sequence") and depth < 2 and draw(st.booleans()):
        params["requests"] = draw(st.lists(requests(depth + 1), max_size=22 if depth else 4))
    if method == "ifelse" and depth < 2 and draw(st.booleans()):
        params |= {"if": {"hf_at_least": 1}, "then": draw(requests(depth + 1))}
    return {"method": method, "params": params}


def dumps(value: Any) -> bytes:
    """Write JSON with numbers of any size."""
    return json.dumps(value).encode()


class Door:
    """A kept connection to one node."""

    def __init__(self, network: NetworkHandle, connections: Any) -> None:
        self.node: NodeHandle = network.nodes[0]
        self.network = network
        self._connections = connections

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        status, _, raw = self._connections.post(self.node.url, path, body)
        return status, raw

    def check_alive(self) -> None:
        assert self.post(RPC, b'{"method": "info", "params": {}}')[0] == 200


@pytest.fixture
def door(network: NetworkHandle, connections: Any) -> Iterator[Door]:
    opened = Door(network, connections)
    yield opened
    opened.check_alive()
    assert not [line for line in network.logs() if "failed to answer" in line]


def check_reply(status: int, body: bytes) -> None:
    assert status in STATUSES, (status, body[:300])
    if status == 200 and body.startswith(b'{"results"'):
        for each in orjson.loads(body)["results"]:
            assert each["code"] in STATUSES


@FUZZ
@given(request=requests())
def test_parameters_of_every_method(door: Door, request: dict[str, Any]) -> None:
    check_reply(*door.post(RPC, dumps(request)))


@FUZZ
@given(body=st.one_of(st.binary(max_size=200), junk.map(dumps)))
def test_bodies_that_are_no_requests(door: Door, body: bytes) -> None:
    status, text = door.post(RPC, body)
    assert status == 400
    assert text.startswith((b"invalid json", b"no method "))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"method":"batch","params":{"requests":' + b"[" * 900 + b"]" * 900 + b"}}",
        b'{"method":"info","params":{"x":' + b"9" * 5000 + b"}}",
        b'{"method":"info","params":{},"method":"info"}',
        b'{"method":"' + b"m" * 100_000 + b'","params":{}}',
    ],
)
def test_deep_and_long_json(door: Door, body: bytes) -> None:
    check_reply(*door.post(RPC, body))


def sealed_for(node: NodeHandle, plaintext: bytes, kind: onion.EncryptionType) -> bytes:
    """Return what a client posts to a guard whose layer decrypts to ``plaintext``."""
    secret = os.urandom(32)
    key, public = _keys(node, secret, kind)
    blob = onion.encrypt(key, plaintext, os.urandom(kind.nonce_bytes))
    return onion.frame(blob, {"ephemeral_key": public.hex(), "enc_type": kind.value})


def _keys(node: NodeHandle, secret: bytes, kind: onion.EncryptionType) -> tuple[onion.ReplyKey, bytes]:
    public = nacl.bindings.crypto_scalarmult_base(secret)
    return onion.client_key(kind, secret, public, bytes.fromhex(node.pubkey_x25519)), public


routing = st.fixed_dictionaries(
    {},
    optional={
        "headers": junk,
        "json": junk,
        "base64": junk,
        "host": st.one_of(junk, st.sampled_from(["127.0.0.1", "", "a b", "ü"])),
        "target": st.one_of(junk, st.sampled_from(["/oxen/v4/lsrpc", "/loki/lsrpc", "/oxen/lsrpc?x", "/"])),
        "port": junk,
        "protocol": st.one_of(junk, st.sampled_from(["http", "https", "ftp"])),
        "destination": st.one_of(junk, st.sampled_from(["ab" * 32, "zz" * 32, "ab" * 31])),
        "ephemeral_key": st.one_of(junk, st.sampled_from(["ab" * 32, "00" * 32])),
        "enc_type": st.one_of(junk, st.sampled_from(["aes-gcm", "gcm", "xchacha20", "aes-cbc"])),
    },
)


@FUZZ
@given(
    layer=routing,
    blob=st.one_of(st.binary(max_size=60), requests().map(dumps)),
    kind=st.sampled_from(list(onion.EncryptionType)),
    tail=st.binary(max_size=3),
)
def test_layers_that_decrypt(
    door: Door, layer: dict[str, Any], blob: bytes, kind: onion.EncryptionType, tail: bytes
) -> None:
    plaintext = onion.frame(blob, dumps(layer) + tail)
    status, text = door.post(ONION, sealed_for(door.node, plaintext, kind))
    # A layer may name a node or a server that is none of this network's.
    assert status in {200, 502}, (status, text)
    if status == 502:
        assert text.startswith((b"Next node not found: ", b"This local network has no server "))


@FUZZ
@given(body=st.binary(max_size=300), kind=st.sampled_from(list(onion.EncryptionType)))
def test_bytes_that_are_no_onion(door: Door, body: bytes, kind: onion.EncryptionType) -> None:
    assert door.post(ONION, body)[0] == 400
    assert door.post(ONION, sealed_for(door.node, body, kind))[0] in {200, 502}


@FUZZ
@given(data=st.data())
def test_damaged_onions(door: Door, data: st.DataObject) -> None:
    nodes = door.network.nodes
    hops = [
        onion.Hop(bytes.fromhex(node.pubkey_ed25519), bytes.fromhex(node.pubkey_x25519)) for node in nodes[:3]
    ]
    end = onion.NodeDestination(bytes.fromhex(nodes[3].pubkey_ed25519), bytes.fromhex(nodes[3].pubkey_x25519))
    built = onion.build(hops, end, b'{"method": "info", "params": {}}')
    body = bytearray(built.body)
    if data.draw(st.booleans()):
        del body[data.draw(st.integers(0, len(body) - 1)) :]
    else:
        bit = data.draw(st.integers(0, len(body) * 8 - 1))
        body[bit // 8] ^= 1 << (bit % 8)
    status, text = door.post(ONION, bytes(body))
    # One flipped bit may be the case of a letter that does not count.
    assert status in {200, 400}
    if status == 400:
        assert text == b"Invalid ciphertext" or text.startswith(b"Error parsing onion request: ")


def test_every_truncation_of_a_frame(door: Door) -> None:
    whole = sealed_for(door.node, onion.frame(b"", {"headers": ""}), onion.EncryptionType.AES_GCM)
    for length in range(len(whole)):
        status, text = door.post(ONION, whole[:length])
        assert (status, text[:29]) == (400, b"Error parsing onion request: "), length
    assert door.post(ONION, whole)[0] == 200


def send_without_end(node: NodeHandle, path: str, header: str, chunk: bytes) -> tuple[int, bytes]:
    """Send a body until the node has had enough; return the bytes it took, and how its answer begins."""
    place = urllib.parse.urlsplit(node.url)
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    taken, answer = 0, b""
    with socket.create_connection((str(place.hostname), place.port or 443), timeout=20) as raw:
        # Little is on its way at a time, so that what was sent is nearly what was taken.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        connection = tls.wrap_socket(raw)
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            while taken < 20 * LIMIT:
                connection.sendall(chunk)
                taken += len(chunk)
        with contextlib.suppress(OSError):
            answer = connection.recv(4096)
        connection.close()
    return taken, answer


@pytest.mark.parametrize("path", [RPC, ONION])
def test_an_announced_body_over_the_limit_is_not_read(door: Door, path: str) -> None:
    header = f"Content-Length: {20 * LIMIT}"
    taken, answer = send_without_end(door.node, path, header, bytes(64 * 1024))
    # What the sockets' own buffers hold was never read by the node.
    assert taken < LIMIT
    assert not answer or answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("path", [RPC, ONION])
def test_a_streamed_body_is_read_up_to_the_limit(door: Door, path: str) -> None:
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    taken, answer = send_without_end(door.node, path, "Transfer-Encoding: chunked", chunk)
    assert LIMIT - MIB < taken < 2 * LIMIT
    assert not answer or answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_length_that_is_no_number(door: Door) -> None:
    """The HTTP parser refuses it before the node's own words could be used."""
    place = door.node.url.removeprefix("https://")
    connection = http.client.HTTPSConnection(place, context=_unverified(), timeout=10)
    connection.putrequest("POST", RPC)
    connection.putheader("Content-Length", "many")
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 400
    response.read()
    assert response.will_close
    connection.close()


def _unverified() -> ssl.SSLContext:
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return tls
