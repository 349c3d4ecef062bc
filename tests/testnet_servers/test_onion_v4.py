"""Onion requests of version 4 to both servers (onion-requests §7.1)."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_protocol import onion
from session_protocol.accounts import Account
from session_protocol.bencode import encode
from session_protocol.onion import EncryptionType
from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.exchange import (
    Router,
    ServiceRequest,
    binary_reply,
    error_page,
    json_reply,
    text_reply,
)
from session_testnet.services.files import FileServer
from session_testnet.services.onion_v4 import MAX_ONION_BYTES, OnionEndpoint, ServerKeys
from session_testnet.topology import RoomSpec
from session_testnet.topology_file_server import FilesSpec

SEED = bytes(range(32))
JSON = {"Content-Type": "application/json"}
LOBBY = RoomSpec("lobby", "Lobby", "A place to wait")


@pytest.fixture
def community(clock, trace, serve):
    return serve(CommunityServer(SEED, clock=clock, trace=trace, rooms=(LOBBY,), require_blinding=False))


@pytest.fixture
def files(clock, trace, serve):
    return serve(FileServer(SEED, clock=clock, trace=trace, spec=FilesSpec(max_size=9_000_000)))


@pytest.fixture
def echo():
    """An endpoint over routes that show what arrives."""
    router = Router()
    router.add("POST", "/echo", lambda r, _: json_reply({"headers": dict(r.headers), "body": r.body.hex()}))
    router.add("GET", "/path/{rest:rest}", lambda r, _: text_reply(f"{r.params['rest']}?{r.query}"))
    router.add("GET", "/bytes", lambda _, __: binary_reply(bytes(range(256))))
    router.add("GET", "/page", lambda _, __: error_page(403, "<no>"))
    keys = ServerKeys.from_seed(SEED)
    return OnionEndpoint(keys, lambda request: router.dispatch(request, None))


def ask(endpoint, payload, enc_type=EncryptionType.AES_GCM):
    """Seal a payload for an endpoint and return what comes back inside."""
    secret = b"\x07" * 32
    public = ServerKeys.from_x25519(secret).x25519_pk
    key = onion.client_key(enc_type, secret, public, endpoint.keys.x25519_pk)
    routing = {"ephemeral_key": public.hex(), "enc_type": enc_type.value}
    blob = onion.encrypt(key, payload, bytes(enc_type.nonce_bytes))
    answer = endpoint.answer(ServiceRequest("POST", "/oxen/v4/lsrpc", body=onion.frame(blob, routing)))
    assert answer.status == 200
    return onion.decode_v4_response(onion.open_reply(key, answer.body))


def test_published_requests_open_and_their_answers_too(vectors, clock, trace, serve):
    published = vectors("onion_v4")
    keys = ServerKeys.from_x25519(bytes.fromhex(published["server"]["x25519_private"]))
    assert keys.x25519_pk.hex() == published["server"]["x25519_public"]
    served = serve(CommunityServer(keys, clock=clock, trace=trace))
    for row in published["requests"]:
        answer = served.request("POST", "/oxen/v4/lsrpc", {}, bytes.fromhex(row["http_body"]))
        assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
        key = onion.ReplyKey(bytes.fromhex(row["shared_key"]), EncryptionType(row["enc_type"]))
        inner = onion.decode_v4_response(onion.open_reply(key, answer.body))
        assert inner.code == 200
        assert inner.headers == {"content-type": "application/json"}
        assert inner.body == b'{"capabilities":["blind","reactions","sogs"]}'


@pytest.mark.parametrize("enc_type", [None, *EncryptionType])
def test_every_encryption_type_and_none_is_answered_in_kind(files, enc_type):
    stored = files.onion("POST", "/file", {}, bytes(range(256)), enc_type=enc_type).json()
    answer = files.onion("GET", f"/file/{stored['id']}", enc_type=enc_type)
    assert answer.body == bytes(range(256))
    assert "content-length" not in answer.headers


@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        ("GET", "/capabilities", {}, None),
        ("GET", "/capabilities?required=sogs,wings", {}, None),
        ("GET", "/rooms", {}, None),
        ("GET", "/room/LOBBY", {}, None),
        ("GET", "/room/nowhere", {}, None),
        ("GET", "/room/lobby/pollInfo/7", {}, None),
        ("GET", "/room/lobby/messages/recent?limit=x", {}, None),
        ("GET", "/room/lobby/message/1", {}, None),
        ("POST", "/room/lobby/message", JSON, b"{}"),
        ("PUT", "/rooms", JSON, b"{}"),
        ("POST", "/batch", JSON, b'[{"method":"GET","path":"/capabilities"},{"method":"GET","path":"/x"}]'),
        ("POST", "/batch", JSON, b"{"),
        ("POST", "/batch", {}, b"[]"),
        ("GET", "/capabilities", {"X-SOGS-Nonce": "x"}, None),
        ("GET", "/%2e%2e/rooms", {}, None),
    ],
)
def test_the_community_server_answers_the_same_directly_and_through_an_onion(
    community, method, target, headers, body
):
    direct = community.request(method, target, headers, body)
    assert direct.seen_by_client == community.onion(method, target, headers, body).seen_by_client


@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        ("GET", "/file/1", {}, None),
        ("GET", "/file/1/info", {}, None),
        ("POST", "/file", {}, None),
        ("POST", "/file", {"X-FS-TTL": "-1"}, b"x"),
        ("GET", "/session_version?platform=desktop", {}, None),
        ("GET", "/session_version?platform=desktop", {"X-FS-Pubkey": "07"}, None),
        ("GET", "/token_info", {}, None),
        ("GET", "/", {}, None),
        ("DELETE", "/file/1", {}, None),
    ],
)
def test_the_file_server_answers_the_same_directly_and_through_an_onion(files, method, target, headers, body):
    direct = files.request(method, target, headers, body)
    assert direct.seen_by_client == files.onion(method, target, headers, body).seen_by_client


def test_a_moderator_is_known_by_the_headers_inside(clock, trace, serve, signer):
    server = CommunityServer(SEED, clock=clock, trace=trace, rooms=(LOBBY,), require_blinding=False)
    served, moderator = serve(server), signer("moderator", server)
    server.give_role(Role(moderator.account.account_id, "lobby"))
    anonymous = served.onion("GET", "/room/lobby")
    signed = served.onion("GET", "/room/lobby", moderator.headers("GET", "/room/lobby"))
    for answer in (anonymous, signed):
        # No more than clients expect beside the code.
        assert (answer.status, answer.headers) == (200, {"content-type": "application/json"})
    assert "moderator" not in anonymous.json()
    assert signed.json()["moderator"] is True


def test_a_large_file_passes_and_an_onion_over_the_limit_does_not(files):
    body = bytes(9_000_000)
    stored = files.onion("POST", "/file", {}, body).json()
    assert files.request("GET", f"/file/{stored['id']}/info").json()["size"] == len(body)
    assert files.request("POST", "/oxen/v4/lsrpc", {}, bytes(MAX_ONION_BYTES + 1)).status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\x00\x00",
        b"\xff\xff\xff\xff{}",
        b"\x00\x00\x00\x00{}",
        b"\x00\x00\x00\x00{",
        onion.frame(bytes(60), {"ephemeral_key": "ab"}),
        onion.frame(bytes(60), {"ephemeral_key": "11" * 32}),
        onion.frame(bytes(60), {"ephemeral_key": "00" * 32}),
        onion.frame(bytes(60), {"ephemeral_key": "11" * 32, "enc_type": "rot13"}),
    ],
)
def test_what_cannot_be_opened_is_refused_in_the_open(files, body):
    answer = files.request("POST", "/oxen/v4/lsrpc", {}, body)
    assert (answer.status, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bit=st.integers(min_value=32, max_value=8 * 60 - 1), enc_type=st.sampled_from(EncryptionType))
def test_any_flipped_bit_of_the_ciphertext_is_refused(echo, bit, enc_type):
    secret = b"\x07" * 32
    public = ServerKeys.from_x25519(secret).x25519_pk
    key = onion.client_key(enc_type, secret, public, echo.keys.x25519_pk)
    blob = onion.encrypt(key, b"l" + bytes(60) + b"e", bytes(enc_type.nonce_bytes))
    framed = bytearray(onion.frame(blob, {"ephemeral_key": public.hex(), "enc_type": enc_type.value}))
    framed[bit // 8] ^= 1 << bit % 8
    assert echo.answer(ServiceRequest("POST", "/oxen/v4/lsrpc", body=bytes(framed))).status == 400


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"le",
        b"l2:{}e",
        b"not bencoded",
        encode([b'{"method":"GET"}']),
        encode([b'{"method":"GET","endpoint":"no-slash"}']),
        encode([b'{"method":1,"endpoint":"/bytes"}']),
        encode([b'{"method":"GET","endpoint":"/bytes","headers":[]}']),
        encode([b'{"method":"GET","endpoint":"/bytes"}', b"", b"third"]),
        encode([b'{"method":"GET","endpoint":"/bytes"}']) + b"x",
    ],
)
def test_a_malformed_inner_request_is_refused_inside(echo, payload):
    answer = ask(echo, payload)
    assert answer.code == 400
    assert answer.headers == {"content-type": "text/plain; charset=utf-8"}
    assert answer.body == b"Invalid v4 onion request"


@pytest.mark.parametrize("path", ["/oxen/v4/lsrpc", "/oxen/v3/lsrpc", "/loki/v3/lsrpc", "/oxen%2fv4/lsrpc"])
@pytest.mark.parametrize("depth", [1, 200])
def test_an_onion_inside_an_onion_is_not_opened(community, trace, path, depth):
    payload = onion.encode_v4_request("GET", "/capabilities", {}, None)
    for _ in range(depth):
        client = Account.generate()
        key = onion.client_key(
            EncryptionType.AES_GCM, client.x25519_sk, client.x25519_pk, community.x25519_pk
        )
        sealed = onion.frame(
            onion.encrypt(key, payload, bytes(12)), {"ephemeral_key": client.x25519_pk.hex()}
        )
        payload = onion.encode_v4_request("POST", path, {}, sealed)
    answer = community.onion_payload(payload)
    assert (answer.status, answer.body) == (400, b"Invalid v4 onion request")
    assert community.onion_v3(onion.encode_v3_request("POST", path, {}, "")) == b'{"status_code":400}'
    assert trace.events(kind="community_error") == []


def test_headers_arrive_in_lower_case_with_a_default_type_and_without_a_length(echo):
    import orjson

    payload = onion.encode_v4_request("POST", "/echo", {"X-Thing": "A", "Content-Length": "999"}, b"\x00\xff")
    assert orjson.loads(ask(echo, payload).body) == {
        "headers": {"x-thing": "A", "content-type": "application/octet-stream"},
        "body": "00ff",
    }
    payload = onion.encode_v4_request("POST", "/echo", {"CONTENT-TYPE": "text/x"}, None)
    assert orjson.loads(ask(echo, payload).body) == {"headers": {"content-type": "text/x"}, "body": ""}


@pytest.mark.parametrize(
    ("endpoint", "seen"),
    [
        ("/path/%F0%9F%8D%8D?a=%20", "🍍?a=%20"),
        ("/path/🍍?a=%20", "🍍?a=%20"),
        ("/path/a%2Fb", "a/b?"),
        ("/path/a?b?c", "a?b?c"),
    ],
)
def test_the_path_is_decoded_and_the_query_is_not(echo, endpoint, seen):
    assert ask(echo, onion.encode_v4_request("GET", endpoint, {}, None)).body.decode() == seen


def test_binary_bodies_and_error_pages_travel_inside(echo):
    assert ask(echo, onion.encode_v4_request("GET", "/bytes", {}, None)).body == bytes(range(256))
    page = ask(echo, onion.encode_v4_request("GET", "/page", {}, None))
    assert page.code == 403
    assert b"&lt;no&gt;" in page.body


def test_headers_of_the_outer_request_do_not_shine_through(community):
    # The reference lets them (open-group-server §17.1); here a broken set outside changes nothing inside.
    client = ServerKeys.from_x25519(b"\x09" * 32)
    key = onion.client_key(EncryptionType.AES_GCM, b"\x09" * 32, client.x25519_pk, community.x25519_pk)
    blob = onion.encrypt(key, onion.encode_v4_request("GET", "/rooms", {}, None), bytes(12))
    body = onion.frame(blob, {"ephemeral_key": client.x25519_pk.hex()})
    answer = community.request("POST", "/oxen/v4/lsrpc", {"X-Other": "1", "Content-Type": "text/plain"}, body)
    inner = onion.decode_v4_response(onion.open_reply(key, answer.body))
    assert inner.code == 200


@pytest.mark.parametrize("make", [ServerKeys.from_seed, ServerKeys.from_x25519])
def test_secrets_of_a_wrong_size_are_refused(make):
    with pytest.raises(ValueError, match="has 32 bytes, not 31"):
        make(bytes(31))


def test_keys_do_not_show_their_secret():
    keys = ServerKeys.from_seed(SEED)
    assert keys.x25519_sk.hex() not in repr(keys)
    assert repr(keys.x25519_sk) not in repr(keys)
