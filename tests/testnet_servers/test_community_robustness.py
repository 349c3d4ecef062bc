"""What no request may do to the content of a community server, and what a restart may not."""

import base64

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.exchange import ServiceRequest
from session_testnet.topology import RoomSpec

SEED = bytes(range(32))
SIGNATURE = base64.b64encode(bytes(64)).decode()
POST = "/room/lobby/message"
DOCUMENTED = {200, 201, 304, 400, 401, 403, 404, 405, 413, 429}

NUMBERS = st.integers(0, 4).map(str) | st.sampled_from(["9" * 40, "-1", "1.5", "x", "1'--", "٣"])
IDS = st.sampled_from(["05" + "ab" * 32, "15" + "cd" * 32, "25" + "00" * 32, "05", "' OR 1=1 --", "<b>"])
EMOJI = st.text(st.characters(blacklist_categories=["Cs"]), max_size=14)
ROOMS = st.sampled_from(["lobby", "LOBBY", "nowhere", "'; DROP TABLE posts; --"])
QUERIES = st.sampled_from(
    [
        "",
        "?limit=0",
        "?limit=x",
        "?reactors=99999999999999999999",
        "?t=r&reactors=-1",
        "?limit=&t",
        "?%00",
        "?limit=9",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def member(name, good):
    """A member of a document: mostly left out or right, sometimes anything."""
    return st.sampled_from([{}, *({name: value} for value in good)]) | JSON.map(lambda value: {name: value})


MESSAGES = st.tuples(
    st.just({"data": "YQ==", "signature": SIGNATURE}) | st.just({}),
    member("data", ["YQ==", ""]),
    member("signature", [SIGNATURE]),
    member("files", [[1], ["1", 2]]),
    member("whisper_to", ["05" + "ab" * 32]),
    member("whisper_mods", [True, False]),
    member("message", ["YQ=="]),
).map(lambda parts: {name: value for part in parts for name, value in part.items()})
TARGETS = st.one_of(
    st.builds("/room/{}/messages/since/{}{}".format, ROOMS, NUMBERS, QUERIES),
    st.builds("/room/{}/messages/before/{}{}".format, ROOMS, NUMBERS, QUERIES),
    st.builds("/room/{}/messages/recent{}".format, ROOMS, QUERIES),
    st.builds("/room/{}/message".format, ROOMS),
    st.builds("/room/{}/message/{}{}".format, ROOMS, NUMBERS, QUERIES),
    st.builds(
        "/room/{}/{}/{}".format, ROOMS, st.sampled_from(["pin", "unpin", "reactions", "file"]), NUMBERS
    ),
    st.builds(
        "/room/{}/{}/{}/{}{}".format,
        ROOMS,
        st.sampled_from(["reaction", "reactions", "reactors", "file"]),
        NUMBERS,
        EMOJI,
        QUERIES,
    ),
    st.builds("/room/{}/all/{}".format, ROOMS, IDS),
    st.builds("/rooms/all/{}".format, IDS),
    st.builds("/{}/since/{}{}".format, st.sampled_from(["inbox", "outbox"]), NUMBERS, QUERIES),
    st.builds("/inbox/{}".format, IDS),
    st.sampled_from(["/inbox", "/outbox", "/room/lobby/unpin/all", "/room/lobby/file"]),
)
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE"])


@pytest.fixture
def start(clock, trace):
    def start_one(directory=None, **options):
        return CommunityServer(
            SEED,
            clock=clock,
            trace=trace,
            rooms=(RoomSpec("lobby"),),
            directory=directory,
            **{"require_blinding": False, "rate_limit": False} | options,
        )

    return start_one


def post(who, server):
    answer = who.ask(server, "POST", POST, {"data": "YQ==", "signature": SIGNATURE})
    assert answer.status == 201


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    who=st.sampled_from(["nobody", "alice", "bob", "admin"]),
    mode=st.sampled_from(["unblinded", "blinded15"]),
    method=METHODS,
    target=TARGETS,
    document=MESSAGES | JSON,
    in_batch=st.booleans(),
)
def test_any_request_is_answered_as_documented(start, signer, who, mode, method, target, document, in_batch):
    server = start()
    alice = signer("alice", server)
    server.give_role(Role(signer("admin", server).account.account_id, admin=True))
    for _ in range(3):
        post(alice, server)
    if in_batch:
        element = {"method": method, "path": target}
        body = {"json": document} if method in ("POST", "PUT") else {}
        asked = ("POST", "/batch", [element | body])
    else:
        asked = (method, target, document)
    if who == "nobody":
        method, target, document = asked
        answer = server.handle(
            ServiceRequest.from_target(
                method, target, {"Content-Type": "application/json"}, orjson.dumps(document)
            )
        )
    else:
        answer = signer(who, server, mode).ask(server, *asked)
    statuses = {answer.status}
    if in_batch and answer.status == 200:
        statuses |= {element["code"] for element in orjson.loads(answer.body)}
    assert statuses <= DOCUMENTED
    # Whatever was asked: the room is still there and can be read.
    assert alice.ask(server, "GET", "/room/lobby/messages/recent").status == 200
    server.close()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=60) | JSON.map(orjson.dumps), path=st.sampled_from(["/batch", "/sequence", POST])
)
def test_any_body_is_answered_as_documented(start, path, body):
    server = start()
    headers = {"Content-Type": "application/json"}
    assert server.handle(ServiceRequest.from_target("POST", path, headers, body)).status in DOCUMENTED
    server.close()


def test_markup_and_sql_are_text(start, signer):
    server = start()
    alice = signer("alice", server)
    post(alice, server)
    evil = "';DROP--<b>"
    assert alice.ask(server, "PUT", f"/room/lobby/reaction/1/{evil}").json()["added"]
    assert list(alice.ask(server, "GET", f"{POST}/1").json()["reactions"]) == [evil]


@pytest.mark.parametrize("count", [0, 1, 256])
def test_a_list_takes_as_many_statements_however_long_it_is(start, signer, count):
    server = start()
    alice = signer("alice", server)
    for _ in range(256):
        post(alice, server)
    for number in range(1, count + 1):
        alice.ask(server, "PUT", f"/room/lobby/reaction/{number}/x")

    def statements(query):
        ran = []
        server._database.set_trace_callback(ran.append)
        rows = alice.ask(server, "GET", f"/room/lobby/messages/{query}").json()
        server._database.set_trace_callback(None)
        return len(rows), len(ran)

    for query in ("recent?limit={}", "before/999?limit={}", "since/0?t=r&limit={}"):
        long, short = statements(query.format(256)), statements(query.format(1))
        assert (long[0], short[0]) == (256, 1)
        # One more where the list has reactions, whose users are looked up together.
        assert abs(long[1] - short[1]) <= 1


def test_everything_outlives_a_restart(start, signer, tmp_path):
    server = start(tmp_path)
    alice, bob = signer("alice", server, "blinded15"), signer("bob", server, "blinded15")
    admin = signer("admin", server)
    server.give_role(Role(admin.account.account_id, "lobby", admin=True))
    for who in (alice, bob):
        post(who, server)
        for emoji in ("x", "y"):
            assert who.ask(server, "PUT", f"/room/lobby/reaction/1/{emoji}").status == 200
    assert admin.ask(server, "POST", "/room/lobby/pin/2").status == 200
    assert alice.ask(server, "PUT", f"{POST}/1", {"data": "Yg==", "signature": SIGNATURE}).status == 200
    bob_id = bob.ask(server, "GET", "/room/lobby/reactors/1/x").json()[1][0]
    assert alice.ask(server, "POST", f"/inbox/{bob_id}", {"message": "YQ=="}).status == 201
    targets = ("/room/lobby", "/room/lobby/messages/since/0?t=r", "/room/lobby/reactors/1/y")

    def seen(server):
        return [admin.ask(server, "GET", target).json() for target in targets] + [
            bob.ask(server, "GET", "/inbox").json(),
            server._stores.posts.history(1),
        ]

    before = seen(server)
    assert len(before[0]["pinned_messages"]) == len(before[3]) == len(before[4]) == 1
    server.close()
    again = start(tmp_path)
    assert seen(again) == before
    assert again.cleanup().history == 0
    again.close()
