"""Keys and addresses of service nodes, and the compact list (network §§2, 4.2)."""

import json
from importlib.resources import files

import nacl.bindings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_protocol.ed25519 import verify_detached
from session_protocol.errors import BadFormat, InvalidArgument, InvalidLength
from session_protocol.service_nodes import (
    ActiveNode,
    NodeIdentity,
    base32z_encode,
    decode_active_nodes,
    encode_active_nodes_record,
)

VECTORS = {
    group["operation"]: group["cases"]
    for group in json.loads(files("session_conformance.vectors").joinpath("swarms.json").read_text("utf-8"))[
        "groups"
    ]
}
ports = st.integers(0, 65535)


def cases(operation):
    return pytest.mark.parametrize("case", VECTORS[operation], ids=lambda case: case["id"])


@cases("node.identity")
def test_identities(case):
    node = NodeIdentity.from_seed(bytes.fromhex(case["input"]["seed"]))
    expected = case["output"]
    assert node.ed25519_pk.hex() == expected["ed25519_pk"]
    assert node.x25519_pk.hex() == expected["x25519_pk"]
    assert node.x25519_sk.hex() == expected["x25519_sk"]
    assert node.snode_address == expected.get("snode_address", node.snode_address)
    assert nacl.bindings.crypto_scalarmult_base(node.x25519_sk) == node.x25519_pk


@cases("node.active_nodes_record")
def test_records(case):
    given = case["input"]
    key, swarm_id = bytes.fromhex(given["ed25519_pk"]), int(given["swarm_id"])
    version = tuple(given["version"])
    record = encode_active_nodes_record(
        key, swarm_id, given["ip"], given["https_port"], given["omq_port"], version
    )
    assert record.hex() == case["output"]["record"]


@given(
    st.lists(
        st.builds(
            ActiveNode,
            ed25519_pk=st.binary(min_size=32, max_size=32),
            swarm_id=st.integers(0, 2**64 - 1),
            ip=st.ip_addresses(v=4).map(str),
            https_port=ports,
            omq_port=ports,
            version=st.tuples(*[st.integers(0, 255)] * 3),
        ),
        max_size=4,
    )
)
def test_lists_are_read_back(nodes):
    data = b"".join(
        encode_active_nodes_record(
            node.ed25519_pk, node.swarm_id, node.ip, node.https_port, node.omq_port, node.version
        )
        for node in nodes
    )
    assert len(data) == 51 * len(nodes)
    assert decode_active_nodes(data) == tuple(nodes)


def test_version_parts_are_capped():
    record = encode_active_nodes_record(bytes(32), 0, "127.0.0.1", 1, 2, (2, 256, 1000))
    assert decode_active_nodes(record)[0].version == (2, 255, 255)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"ed25519_pk": bytes(31)}, InvalidLength),
        ({"ip": "::1"}, InvalidArgument),
        ({"ip": "localhost"}, InvalidArgument),
        ({"swarm_id": 2**64}, InvalidArgument),
        ({"https_port": 65536}, InvalidArgument),
        ({"omq_port": -1}, InvalidArgument),
        ({"version": (1, 2)}, InvalidArgument),
        ({"version": (-1, 2, 3)}, InvalidArgument),
    ],
)
def test_what_fits_no_record_is_refused(changes, error):
    values = {
        "ed25519_pk": bytes(32),
        "swarm_id": 0,
        "ip": "127.0.0.1",
        "https_port": 1,
        "omq_port": 2,
        "version": (2, 11, 3),
    }
    with pytest.raises(error):
        encode_active_nodes_record(**{**values, **changes})


def test_part_of_a_record_is_refused():
    with pytest.raises(BadFormat, match="51-byte"):
        decode_active_nodes(bytes(50))


def test_a_seed_has_32_bytes():
    with pytest.raises(InvalidLength):
        NodeIdentity.from_seed(bytes(31))


def test_nodes_sign_and_keep_their_secrets():
    node = NodeIdentity.from_seed(b"\x11" * 32)
    verify_detached(node.ed25519_pk, b"payload", node.sign(b"payload"))
    assert node.ed25519_sk.hex() not in repr(node)
    assert repr(node.ed25519_sk) not in repr(node)
    assert repr(node.x25519_sk) not in repr(node)


@pytest.mark.parametrize(
    ("data", "text"), [(b"", ""), (b"\x00", "yy"), (b"\xff", "9h"), (b"\xd4\x7a\xbf", "4t7m6")]
)
def test_base32z(data, text):
    assert base32z_encode(data) == text
