"""Signed requests to the community server (open-group-server §5)."""

import base64
import os

import pytest

from session_protocol.accounts import Account
from session_protocol.community import auth_headers
from session_testnet.services.community import CommunityServer
from session_testnet.services.exchange import ServiceRequest
from session_testnet.services.onion_v4 import ServerKeys

NOW_S = 1_760_000_000
DAY_S = 86_400
SEED = bytes(range(32))


class Harness:
    """A server and one account that signs for it, with the parts of a request open to change."""

    def __init__(self, clock, trace, **options):
        self.server = CommunityServer(SEED, clock=clock, trace=trace, **{"require_blinding": False} | options)
        self.server_pk = bytes.fromhex(self.server.public_key)
        self.account = Account.from_seed(b"\x31" * 32)
        self.trace = trace

    def headers(
        self, method="GET", target="/rooms", body=b"", *, nonce=None, timestamp=NOW_S, mode="unblinded"
    ):
        return auth_headers(
            self.account,
            self.server_pk,
            method,
            target,
            body,
            nonce=nonce or os.urandom(16),
            timestamp_s=timestamp,
            mode=mode,
        )

    def ask(self, headers, method="GET", target="/rooms", body=b""):
        answer = self.server.handle(ServiceRequest.from_target(method, target, headers, body))
        return answer.status, answer.body.decode() if answer.headers[
            "content-type"
        ] != "application/json" else ""

    @property
    def last_user(self):
        return self.trace.events(kind="community_request")[-1]["user"]


@pytest.fixture
def harness(clock, trace):
    return Harness(clock, trace)


@pytest.fixture
def published(vectors):
    return vectors("request_auth")


def published_server(published, clock, trace, **options):
    keys = ServerKeys.from_x25519(bytes.fromhex(published["server"]["x25519_private"]))
    return CommunityServer(keys, clock=clock, trace=trace, require_blinding=False, **options)


@pytest.mark.parametrize("variant", ["00", "15", "15_sk64_variant", "25"])
@pytest.mark.parametrize("index", range(20))
def test_published_signatures_name_their_user(published, clock, trace, index, variant):
    row = published["requests"][index]
    server = published_server(published, clock, trace, accept_blinded25=True)
    headers = {
        "X-SOGS-Pubkey": row["pubkeys"][variant[:2]],
        "X-SOGS-Nonce": row["nonce"],
        "X-SOGS-Timestamp": str(row["timestamp"]),
        "X-SOGS-Signature": row["signatures"][variant],
    } | ({"Content-Type": row["content_type"]} if row["content_type"] else {})
    request = ServiceRequest.from_target(row["method"], row["target"], headers, bytes.fromhex(row["body"]))
    # Rooms of the published requests do not exist here: what matters is who the server says has asked.
    answer = server.handle(request)
    assert answer.status in (200, 404) or answer.body == b"This endpoint requires blinded pubkeys be used"
    expected = row["account_id"] if variant == "00" else row["pubkeys"][variant[:2]]
    assert trace.events(kind="community_request")[-1]["user"] == expected
    # Any change of what is signed is noticed.
    changed = ServiceRequest.from_target(
        row["method"], row["target"], {**headers, "X-SOGS-Nonce": "0" * 32}, bytes.fromhex(row["body"])
    )
    assert server.handle(changed).status == 401


def test_published_bad_keys_are_refused(published, clock, trace):
    server = published_server(published, clock, trace)
    row = published["requests"][0]
    for bad in published["invalid_pubkeys"]:
        headers = {
            "X-SOGS-Pubkey": bad["X-SOGS-Pubkey"],
            "X-SOGS-Nonce": row["nonce"],
            "X-SOGS-Timestamp": str(row["timestamp"]),
            "X-SOGS-Signature": row["signatures"]["00"],
        }
        answer = server.handle(ServiceRequest.from_target("GET", "/capabilities", headers))
        assert answer.status == 400, bad["why"]
        assert answer.body == b"Invalid authentication: given X-SOGS-Pubkey is not a valid Ed25519 pubkey"


def test_without_headers_a_request_is_anonymous(harness):
    assert harness.ask({})[0] == 200
    assert harness.last_user is None


@pytest.mark.parametrize("form", ["base64", "unpadded", "hex", "HEX"])
def test_bytes_may_come_as_base64_or_hex(harness, form):
    headers = harness.headers()
    for name in ("X-SOGS-Nonce", "X-SOGS-Signature"):
        raw = base64.b64decode(headers[name])
        headers[name] = {
            "base64": headers[name],
            "unpadded": headers[name].rstrip("="),
            "hex": raw.hex(),
            "HEX": raw.hex().upper(),
        }[form]
    if form == "base64":
        headers["X-SOGS-Pubkey"] = base64.b64encode(bytes.fromhex(headers["X-SOGS-Pubkey"])).decode()
    assert harness.ask(headers)[0] == 200
    assert harness.last_user == harness.account.account_id


REFUSALS = [
    (
        {"X-SOGS-Signature": None},
        400,
        "Invalid authentication headers: missing 1/4 required X-SOGS-* headers",
    ),
    (
        {"X-SOGS-Signature": None, "X-SOGS-Nonce": ""},
        400,
        "Invalid authentication headers: missing 2/4 required X-SOGS-* headers",
    ),
    ({"X-SOGS-Pubkey": "00ab"}, 400, "X-SOGS-Pubkey is not a valid 66-hex digit id"),
    ({"X-SOGS-Pubkey": "zz" + "11" * 32}, 400, "X-SOGS-Pubkey is not a valid 66-hex digit id"),
    ({"X-SOGS-Pubkey": "05" + "11" * 32}, 400, "X-SOGS-Pubkey must be 00- or 15- prefixed"),
    ({"X-SOGS-Pubkey": "25" + "11" * 32}, 400, "X-SOGS-Pubkey must be 00- or 15- prefixed"),
    ({"X-SOGS-Pubkey": "00" + "00" * 32}, 400, "given X-SOGS-Pubkey is not a valid Ed25519 pubkey"),
    ({"X-SOGS-Nonce": "AAAA"}, 400, "X-SOGS-Nonce must be 16 bytes (encoded as base64 or hex)"),
    ({"X-SOGS-Nonce": "g" * 32}, 400, "X-SOGS-Nonce must be 16 bytes (encoded as base64 or hex)"),
    ({"X-SOGS-Nonce": "A" * 21 + "==="}, 400, "X-SOGS-Nonce must be 16 bytes (encoded as base64 or hex)"),
    ({"X-SOGS-Nonce": "A" * 22 + "="}, 400, "X-SOGS-Nonce must be 16 bytes (encoded as base64 or hex)"),
    ({"X-SOGS-Nonce": "ab" * 15}, 400, "X-SOGS-Nonce must be 16 bytes (encoded as base64 or hex)"),
    ({"X-SOGS-Signature": "ab" * 63}, 400, "X-SOGS-Signature is not base64[88]"),
    ({"X-SOGS-Timestamp": "1760000000.5"}, 400, "X-SOGS-Timestamp is not a valid timestamp"),
    ({"X-SOGS-Timestamp": "now"}, 400, "X-SOGS-Timestamp is not a valid timestamp"),
    ({"X-SOGS-Timestamp": str(NOW_S + 86_402)}, 425, "X-SOGS-Timestamp is too far from current time"),
    ({"X-SOGS-Timestamp": str(NOW_S - 86_402)}, 425, "X-SOGS-Timestamp is too far from current time"),
    ({"X-SOGS-Timestamp": str(NOW_S - 1)}, 401, "X-SOGS-Signature verification failed"),
]


@pytest.mark.parametrize(("changed", "status", "text"), REFUSALS)
@pytest.mark.parametrize("target", ["/rooms", "/capabilities", "/nowhere"])
def test_refusals_on_every_path(harness, target, changed, status, text):
    headers = {k: v for k, v in (harness.headers(target=target) | changed).items() if v is not None}
    expected = text if text.startswith("Invalid") else f"Invalid authentication: {text}"
    assert harness.ask(headers, target=target) == (status, expected)


def test_the_first_defect_in_the_reference_order_is_the_one_that_is_told(harness):
    """Repair a request that is wrong in every way, step by step, and see each refusal in turn."""
    good = harness.headers()
    broken = {
        "X-SOGS-Pubkey": "1",
        "X-SOGS-Nonce": "1",
        "X-SOGS-Timestamp": "x",
        "X-SOGS-Signature": "1",
    }
    steps = [
        ("X-SOGS-Pubkey", "05" + "00" * 32, "must be 00- or 15- prefixed"),
        ("X-SOGS-Pubkey", "00" * 33, "not a valid Ed25519 pubkey"),
        ("X-SOGS-Pubkey", good["X-SOGS-Pubkey"], "X-SOGS-Nonce must be"),
        ("X-SOGS-Nonce", good["X-SOGS-Nonce"], "X-SOGS-Signature is not"),
        ("X-SOGS-Signature", "A" * 86, "X-SOGS-Timestamp is not a valid"),
        ("X-SOGS-Timestamp", "1", "too far"),
        ("X-SOGS-Timestamp", good["X-SOGS-Timestamp"], "verification failed"),
    ]
    assert "66-hex digit" in harness.ask(broken)[1]
    for name, value, text in steps:
        broken[name] = value
        assert text in harness.ask(broken)[1]
    broken["X-SOGS-Signature"] = good["X-SOGS-Signature"]
    assert harness.ask(broken)[0] == 200


@pytest.mark.parametrize("seconds", [-DAY_S, 1 - DAY_S, 0, DAY_S - 1, DAY_S])
def test_a_day_of_difference_is_tolerated(harness, seconds):
    assert harness.ask(harness.headers(timestamp=NOW_S + seconds))[0] == 200


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [("POST", "/rooms", b""), ("GET", "/rooms?x=1", b""), ("GET", "/Rooms", b""), ("GET", "/rooms", b"{}")],
)
def test_method_path_query_and_body_are_signed(harness, method, target, body):
    status, text = harness.ask(harness.headers(), method, target, body)
    assert (status, text) == (401, "Invalid authentication: X-SOGS-Signature verification failed")
    assert harness.ask(harness.headers(method, target, body), method, target, body)[0] != 401


def test_an_empty_query_adds_nothing_and_a_raw_path_is_a_coded_one(harness):
    assert harness.ask(harness.headers(target="/rooms"), target="/rooms?")[0] == 200
    signed = harness.headers(target="/room/%F0%9F%8D%8D")
    assert harness.ask(signed, target="/room/🍍")[0] == 404


def test_a_nonce_is_good_for_one_request_of_anybody(harness, accounts):
    nonce = bytes(16)
    assert harness.ask(harness.headers(nonce=nonce))[0] == 200
    refusal = (425, "Invalid authentication: X-SOGS-Nonce cannot be reused")
    assert harness.ask(harness.headers(nonce=nonce)) == refusal
    harness.account = accounts("somebody else")
    assert harness.ask(harness.headers(nonce=nonce)) == refusal


def test_a_wrong_signature_leaves_nonce_and_user_alone(harness):
    nonce = bytes(16)
    forged = harness.headers(nonce=nonce) | {"X-SOGS-Signature": "A" * 86}
    assert harness.ask(forged)[0] == 401
    rows = harness.server._database.execute("SELECT COUNT(*) FROM users").fetchone()
    assert rows[0] == 0
    assert harness.ask(harness.headers(nonce=nonce))[0] == 200


def test_nonces_are_remembered_for_a_day_of_the_servers_clock(harness, clock):
    nonce = bytes(16)
    assert harness.ask(harness.headers(nonce=nonce))[0] == 200
    clock.move(DAY_S * 1000 - 1)
    harness.server.cleanup()
    assert harness.ask(harness.headers(nonce=nonce, timestamp=NOW_S + DAY_S))[0] == 425
    clock.move(1)
    harness.server.cleanup()
    assert harness.ask(harness.headers(nonce=nonce, timestamp=NOW_S + DAY_S))[0] == 200


def test_a_request_dated_ahead_cannot_be_replayed_while_its_date_would_allow_it(harness, clock):
    headers = harness.headers(timestamp=NOW_S + DAY_S)
    assert harness.ask(headers)[0] == 200
    clock.move((DAY_S + 60) * 1000)
    harness.server.cleanup()
    assert harness.ask(headers)[0] == 425


def test_nonces_outlive_a_restart(clock, trace, tmp_path):
    first = Harness(clock, trace, directory=tmp_path)
    headers = first.headers()
    assert first.ask(headers)[0] == 200
    first.server.close()
    second = Harness(clock, trace, directory=tmp_path)
    assert second.ask(headers)[0] == 425
    second.server.close()


def test_blinding_is_required_by_default(clock, trace):
    harness = Harness(clock, trace, require_blinding=True)
    # Clients compare this text to learn that they must blind (open-group-server §5.3).
    refusal = (400, "Invalid authentication: this server requires the use of blinded ids")
    assert harness.ask(harness.headers()) == refusal
    assert harness.ask(harness.headers(mode="blinded15"))[0] == 200
    assert harness.last_user.startswith("15")


def test_blinded_ids_are_welcome_where_they_are_not_required(harness):
    assert harness.ask(harness.headers(mode="blinded15"))[0] == 200


def test_the_second_version_of_blinding_needs_the_option(clock, trace):
    harness = Harness(clock, trace, accept_blinded25=True)
    assert harness.ask(harness.headers(mode="blinded25"))[0] == 200
    assert harness.last_user.startswith("25")
    other = harness.headers() | {"X-SOGS-Pubkey": "05" + "11" * 32}
    assert harness.ask(other)[1].endswith("X-SOGS-Pubkey must be 00-, 15-, or 25- prefixed")


def test_a_banned_user_is_told_so_until_the_ban_ends(harness):
    harness.server.ban(harness.account.account_id)
    headers = harness.headers()
    assert harness.ask(headers) == (403, "Banned")
    assert harness.ask({})[0] == 200
    harness.server.ban(harness.account.account_id, banned=False)
    # The refused request has not used up its nonce.
    assert harness.ask(headers)[0] == 200


def test_a_ban_of_an_account_id_waits_for_its_blinded_id(clock, trace):
    harness = Harness(clock, trace, require_blinding=True)
    harness.server.ban(harness.account.account_id)
    assert harness.ask(harness.headers(mode="blinded15")) == (403, "Banned")


def test_authentication_over_http_and_inside_an_onion(clock, trace, serve):
    harness = Harness(clock, trace)
    served = serve(harness.server)
    for ask in (served.request, served.onion):
        headers = harness.headers()
        assert ask("GET", "/rooms", headers).status == 200
        assert harness.trace.events(kind="community_request")[-1]["status"] == 200
        refused = ask("GET", "/rooms", headers)
        assert refused.seen_by_client == (
            425,
            "text/plain; charset=utf-8",
            b"Invalid authentication: X-SOGS-Nonce cannot be reused",
        )
    assert (
        served.onion("POST", "/room/x/file", harness.headers("POST", "/room/x/file", b"\x00"), b"\x00").status
        == 404
    )
