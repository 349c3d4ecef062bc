"""Onion requests of version 3 to servers (onion-requests §7.2)."""

import orjson
import pytest

from session_protocol import onion
from session_protocol.bencode import encode
from session_protocol.errors import BadFormat
from session_protocol.onion import EncryptionType
from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.exchange import (
    Router,
    ServiceRequest,
    ServiceResponse,
    binary_reply,
    error_page,
    json_reply,
)
from session_testnet.services.onion_v3 import OnionV3Endpoint
from session_testnet.services.onion_v4 import ServerKeys
from session_testnet.topology import RoomSpec

SEED = bytes(range(32))


@pytest.fixture
def server(clock, trace):
    return CommunityServer(
        SEED, clock=clock, trace=trace, rooms=(RoomSpec("lobby", "Lobby"),), require_blinding=False
    )


@pytest.fixture
def served(serve, server):
    return serve(server)


@pytest.mark.parametrize("path", ["/oxen/v3/lsrpc", "/loki/v3/lsrpc"])
@pytest.mark.parametrize("enc_type", list(EncryptionType))
def test_a_room_is_read_without_a_name(served, path, enc_type):
    payload = onion.encode_v3_request("GET", "/room/lobby")
    answer = served.onion_v3(payload, path=path, enc_type=enc_type)
    assert answer == served.request("GET", "/room/lobby").body
    assert orjson.loads(answer)["token"] == "lobby"
    assert "moderator" not in orjson.loads(answer)


def test_a_moderator_is_known_by_the_headers_inside(served, server, signer):
    moderator = signer("moderator", server)
    server.give_role(Role(moderator.account.account_id, "lobby"))
    payload = onion.encode_v3_request("GET", "/room/lobby", moderator.headers("GET", "/room/lobby"))
    assert orjson.loads(served.onion_v3(payload))["moderator"] is True


def test_a_message_is_posted_with_the_type_of_json_unless_another_is_named(served, server, signer):
    alice = signer("alice", server)
    body = orjson.dumps({"data": "YQ==", "signature": "A" * 86})
    target = "/room/lobby/message"
    plain = onion.encode_v3_request(
        "POST", target, alice.headers("POST", target, body) | {"Content-Type": "text/plain"}, body.decode()
    )
    assert orjson.loads(served.onion_v3(plain)) == {"status_code": 400}
    posted = onion.encode_v3_request("POST", target, alice.headers("POST", target, body), body.decode())
    # 201 is a success here, and arrives as the bare body.
    assert orjson.loads(served.onion_v3(posted))["id"] == 1


@pytest.mark.parametrize(
    ("endpoint", "status"), [("/nowhere", 404), ("rooms", 404), ("/room/lobby/messages/recent?limit=x", 400)]
)
def test_a_failure_is_its_status_alone(served, endpoint, status):
    answer = served.onion_v3(onion.encode_v3_request("GET", endpoint))
    assert orjson.loads(answer) == {"status_code": status}


MALFORMED = [
    b"",
    b"[]",
    b" {}",
    b"{",
    b"{}",
    b'{"method":"GET"}',
    b'{"endpoint":"/rooms"}',
    b'{"method":1,"endpoint":"/rooms"}',
    b'{"method":"GET","endpoint":1}',
    b'{"method":"POST","endpoint":"/batch","body":[]}',
    b'{"method":"GET","endpoint":"/rooms","headers":[]}',
    b'{"method":"GET","endpoint":"/rooms","headers":{"a":1}}',
    b'{"method":"GET","endpoint":"/rooms","body":"x"}',
    b'{"method":"DELETE","endpoint":"/inbox","body":"[]"}',
    encode([b'{"method":"GET","endpoint":"/rooms"}']),
]


@pytest.mark.parametrize("payload", MALFORMED)
def test_a_malformed_inner_request_is_400_inside(served, payload):
    assert orjson.loads(served.onion_v3(payload)) == {"status_code": 400}
    with pytest.raises(BadFormat):
        onion.decode_v3_request(payload)


@pytest.mark.parametrize("body", [None, "", "null"])
def test_no_body_may_be_written_in_three_ways(served, body):
    answer = served.onion_v3(onion.encode_v3_request("GET", "/rooms", {}, body))
    assert orjson.loads(answer)[0]["token"] == "lobby"


@pytest.mark.parametrize("path", ["/oxen/v3/lsrpc", "/loki/v3/lsrpc"])
def test_what_cannot_be_opened_is_refused_in_the_open(served, path):
    for body in (b"", b"{}", onion.frame(bytes(60), {"ephemeral_key": "11" * 32})):
        assert served.request("POST", path, {}, body).status == 400
    assert served.request("GET", path).status == 405


@pytest.mark.parametrize(
    ("options", "endpoint", "expected"),
    [
        ({"endpoint_prefix": "/legacy/"}, "rooms", b'{"path":"/legacy/rooms"}'),
        ({"endpoint_prefix": "/"}, "rooms", b'{"path":"/rooms"}'),
        ({"endpoint_prefix": "/"}, "/rooms", b'{"path":"/rooms"}'),
        ({"endpoint_prefix": "/"}, "/made", b"made"),
        ({"endpoint_prefix": "/", "only_200_succeeds": True}, "/made", b'{"status_code":201}'),
        ({"endpoint_prefix": "/", "only_200_succeeds": True}, "/refused", b'{"status_code":403}'),
    ],
)
def test_each_server_has_its_own_rules(options, endpoint, expected):
    router: Router[None] = Router()
    router.add("GET", "/made", lambda _, __: binary_reply(b"made", status=201))
    router.add("GET", "/refused", lambda _, __: error_page(403))
    for path in ("/rooms", "/legacy/rooms"):
        router.add("GET", path, lambda request, _: json_reply({"path": request.path}))
    keys = ServerKeys.from_seed(SEED)
    v3 = OnionV3Endpoint(keys, lambda request: router.dispatch(request, None), **options)
    secret = b"\x07" * 32
    public = ServerKeys.from_x25519(secret).x25519_pk
    key = onion.client_key(EncryptionType.AES_GCM, secret, public, keys.x25519_pk)
    blob = onion.encrypt(key, onion.encode_v3_request("GET", endpoint), bytes(12))
    body = onion.frame(blob, {"ephemeral_key": public.hex()})
    answer: ServiceResponse = v3.answer(ServiceRequest("POST", "/oxen/v3/lsrpc", body=body))
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert onion.open_v3_reply(key, answer.body) == expected


def test_an_answer_that_is_not_base64_is_said_to_be_none():
    with pytest.raises(BadFormat):
        onion.open_v3_reply(onion.ReplyKey(bytes(32), EncryptionType.AES_GCM), b"\xff" * 60)
