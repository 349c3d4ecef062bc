"""What the push server refuses and how, on a server without a network around it (push-server)."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_protocol import bencode
from session_protocol.accounts import Account
from session_testnet.clock import Clock
from session_testnet.services.exchange import ServiceRequest
from session_testnet.services.push import PushServer
from session_testnet.services.push.app import MAX_BODY_BYTES
from session_testnet.services.push.requests import ErrorCode
from session_testnet.services.push.seen import SeenMessages
from session_testnet.services.sqlite_file import DatabaseRefused
from session_testnet.services.storage.monitor import ENDED_COMMAND, PUSH_COMMAND
from session_testnet.trace import Trace

NOW_S = 1_760_000_000
DAY_S = 86_400
SEED = bytes(range(32))

NewOwner = Callable[[str], Any]


class RecordingLink:
    """Two nodes that say yes to everything, and what they were asked."""

    def __init__(self) -> None:
        self.members = ["node-a", "node-b"]
        self.asked: list[tuple[str, Any]] = []
        self.ears: dict[str, Any] = {}
        self.reachable = True
        self.reply: dict[str, Any] = {"success": 1}

    def swarm(self, account: bytes) -> Sequence[str]:
        return self.members

    async def subscribe(self, node: str, hear: Any, request: bytes) -> bytes | None:
        asked: Any = bencode.decode(request)
        self.asked.append((node, asked))
        self.ears[node] = hear
        return bencode.encode([self.reply] * len(asked)) if self.reachable else None

    def push(self, node: str, **changes: Any) -> None:
        body = {"@": bytes(33), "h": "hash", "n": 0, "t": 1, "z": 10**13, "~": b"body", **changes}
        self.ears[node](PUSH_COMMAND, bencode.encode(body))


@pytest.fixture
def clock() -> Clock:
    return Clock(lambda: NOW_S * 1_000_000_000)


@pytest.fixture
def trace(clock: Clock) -> Trace:
    return Trace(clock)


@pytest.fixture
def link() -> RecordingLink:
    return RecordingLink()


@pytest.fixture
def server(clock: Clock, trace: Trace, link: RecordingLink) -> Iterator[PushServer]:
    made = PushServer(SEED, clock=clock, trace=trace, link=link)
    yield made
    made.close()


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


def ask(server: PushServer, path: str, document: Any) -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    answer = server.handle(ServiceRequest.from_target("POST", path, {}, body))
    asyncio.run(server.settle())
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.body)


@pytest.fixture
def device(new_account: NewOwner, make_device: Any) -> Any:
    return make_device(new_account("alice"))


@pytest.fixture
def group_device(new_group: NewOwner, make_device: Any) -> Any:
    return make_device(new_group("a group"))


def test_the_published_signatures_are_accepted(server: PushServer, vectors: dict[str, Any]) -> None:
    subscribe, unsubscribe = vectors["signatures"]
    account = Account.from_seed(bytes.fromhex(vectors["account"]["seed"]))
    common = {
        "pubkey": account.account_id,
        "session_ed25519": account.ed25519_pk.hex(),
        "service": "apns",
        "service_info": {"token": "t", "more": [1, None]},
    }
    assert ask(
        server,
        "/subscribe",
        {
            **common,
            "namespaces": subscribe["namespaces"],
            "data": subscribe["data"],
            "sig_ts": subscribe["sig_ts"],
            "signature": subscribe["signature"],
            "enc_key": "ab" * 32,
        },
    ) == {"success": True, "added": True}
    (listed,) = server.subscriptions()
    assert listed["service_info"] == {"token": "t", "more": [1, None]}
    ended = {**common, "sig_ts": unsubscribe["sig_ts"], "signature": unsubscribe["signature"]}
    assert ask(server, "/unsubscribe", ended) == {"success": True, "removed": True}
    assert server.subscriptions() == []


def test_nodes_are_asked_what_the_client_signed(server: PushServer, link: RecordingLink, device: Any) -> None:
    request = device.subscription((-5, 0), data=True)
    ask(server, "/subscribe", request)
    assert [node for node, _ in link.asked] == ["node-a", "node-b"]
    ((asked,), again) = (request for _, request in link.asked)
    assert again == [asked]
    assert asked[b"P"] == device.owner.public
    assert (asked[b"n"], asked[b"d"], asked[b"t"]) == ([-5, 0], 1, NOW_S)
    assert set(asked) == {b"P", b"n", b"d", b"t", b"s"}


CHANGES = [
    ({"pubkey": "05ab"}, 1, "pubkey must be 33 bytes"),
    ({"pubkey": 5}, 1, "pubkey must be 33 bytes"),
    ({"pubkey": None}, 1, "pubkey must be 33 bytes"),
    ({"pubkey": "15" + "ab" * 32}, 1, "prefix 05 or 03"),
    ({"pubkey": "05" + "ab" * 32}, 1, "is not the key of pubkey"),
    ({"session_ed25519": None}, 1, "session_ed25519 is missing"),
    ({"session_ed25519": "ab"}, 1, "session_ed25519 must be 32 bytes"),
    ({"session_ed25519": "00" * 32}, 1, "is not the key of pubkey"),
    ({"sig_ts": None}, 1, "sig_ts must be an integer"),
    ({"sig_ts": "1760000000"}, 1, "sig_ts must be an integer"),
    ({"sig_ts": True}, 1, "sig_ts must be an integer"),
    ({"sig_ts": NOW_S + 0.5}, 1, "sig_ts must be an integer"),
    ({"sig_ts": -(10**18)}, 1, "sig_ts is too"),
    ({"sig_ts": NOW_S - 1}, 1, "Signature verification failed"),
    ({"signature": None}, 1, "signature must be 64 bytes"),
    ({"signature": "ab" * 63}, 1, "signature must be 64 bytes"),
    ({"signature": "ab" * 64}, 1, "Signature verification failed"),
    ({"service": None}, 1, "service must be a text"),
    ({"service": "carrier-pigeon"}, 2, "there is no service 'carrier-pigeon'"),
    ({"service_info": None}, 1, "service_info must be an object"),
    ({"service_info": "token"}, 1, "service_info must be an object"),
    ({"service_info": {}}, 1, "service_info needs a token"),
    ({"service_info": {"token": ""}}, 1, "service_info needs a token"),
    ({"service_info": {"token": 7}}, 1, "service_info needs a token"),
    ({"service_info": {"token": "t", "x": nested(300)}}, 1, "service_info is nested too deeply"),
    ({"subaccount": "05010000" + "ab" * 32}, 1, "subaccount_sig must be 64 bytes"),
    ({"subaccount_sig": "ab" * 64}, 1, "subaccount must be 36 bytes"),
    ({"subaccount": "ab" * 32, "subaccount_sig": "ab" * 64}, 1, "subaccount must be 36 bytes"),
    ({"subaccount": "0501" + "ff" * 34, "subaccount_sig": "ab" * 64}, 1, "bits that nobody knows"),
]
MORE_CHANGES = [
    ({"namespaces": None}, 1, "namespaces must be a list"),
    ({"namespaces": []}, 1, "namespaces must be a list"),
    ({"namespaces": 0}, 1, "namespaces must be a list"),
    ({"namespaces": ["0"]}, 1, "16-bit integers"),
    ({"namespaces": [True]}, 1, "16-bit integers"),
    ({"namespaces": [32768]}, 1, "16-bit integers"),
    ({"namespaces": [-32769]}, 1, "16-bit integers"),
    ({"namespaces": [0, 0]}, 1, "ascending"),
    ({"namespaces": [1, 0]}, 1, "ascending"),
    ({"namespaces": [0, 1]}, 1, "Signature verification failed"),
    ({"data": None}, 1, "data must be true or false"),
    ({"data": 1}, 1, "data must be true or false"),
    ({"data": False}, 1, "Signature verification failed"),
    ({"enc_key": None}, 1, "enc_key must be 32 bytes"),
    ({"enc_key": "ab" * 31}, 1, "enc_key must be 32 bytes"),
]


def changed(request: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**request, **changes}.items() if value is not None}


@pytest.mark.parametrize(("changes", "code", "text"), CHANGES + MORE_CHANGES)
def test_bad_subscriptions(
    server: PushServer, link: RecordingLink, device: Any, changes: dict[str, Any], code: int, text: str
) -> None:
    answer = ask(server, "/subscribe", changed(device.subscription(), changes))
    assert set(answer) == {"error", "message"}
    assert answer["error"] == code
    assert text in answer["message"]
    assert server.subscriptions() == []
    assert link.asked == []


@pytest.mark.parametrize(("changes", "code", "text"), CHANGES)
def test_bad_ends_of_subscriptions(
    server: PushServer, device: Any, changes: dict[str, Any], code: int, text: str
) -> None:
    ask(server, "/subscribe", device.subscription())
    answer = ask(server, "/unsubscribe", changed(device.unsubscription(), changes))
    assert answer["error"] == code
    assert text in answer["message"] or "sig_ts is too far" in answer["message"]
    assert len(server.subscriptions()) == 1


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (14 * DAY_S, "sig_ts is too old"),
        (14 * DAY_S - 1, None),
        (-DAY_S + 1, None),
        (-DAY_S, "sig_ts is in the future"),
    ],
)
def test_the_window_of_signatures(server: PushServer, device: Any, age_s: int, text: str | None) -> None:
    answer = ask(server, "/subscribe", device.subscription(age_s=age_s))
    assert answer == ({"success": True, "added": True} if text is None else {"error": 1, "message": text})


@pytest.mark.parametrize(
    ("age_s", "fine"), [(DAY_S, False), (DAY_S - 1, True), (-DAY_S + 1, True), (-DAY_S, False)]
)
def test_the_window_to_end_a_subscription(server: PushServer, device: Any, age_s: int, fine: bool) -> None:
    assert ("success" in ask(server, "/unsubscribe", device.unsubscription(age_s=age_s))) == fine


def test_a_group_must_not_name_a_session_key(server: PushServer, group_device: Any) -> None:
    request = group_device.subscription()
    assert ask(server, "/subscribe", request)["success"] is True
    answer = ask(server, "/subscribe", {**request, "session_ed25519": group_device.owner.public.hex()})
    assert answer == {"error": 1, "message": "session_ed25519 is only for accounts with prefix 05"}


@pytest.mark.parametrize(
    ("flags", "prefix", "text"),
    [
        (1, 3, None),
        (7, 3, None),
        (9, 5, None),
        (2, 3, "does not allow to read"),
        (8, 5, "does not allow to read"),
        (1, 5, "for another account prefix"),
    ],
)
def test_what_a_subaccount_needs(
    server: PushServer,
    link: RecordingLink,
    make_device: Any,
    new_group: NewOwner,
    new_member: Any,
    flags: int,
    prefix: int,
    text: str | None,
) -> None:
    owner = new_group("a group")
    by = new_member(owner, flags, prefix)
    device = make_device(owner, by=by)
    for path, request in (("/subscribe", device.subscription()), ("/unsubscribe", device.unsubscription())):
        answer = ask(server, path, request)
        if text is None:
            assert answer["success"] is True
        else:
            assert answer["error"] == 1
            assert text in answer["message"]
    if text is None:
        asked = link.asked[0][1][0]
        assert (asked[b"S"], asked[b"T"]) == (by.owner_signature, by.token)


def test_a_subaccount_of_another_owner_and_a_signature_of_another_key(
    server: PushServer, make_device: Any, new_group: NewOwner, new_member: Any
) -> None:
    owner, other = new_group("one"), new_group("another")
    answer = ask(server, "/subscribe", make_device(owner, by=new_member(other)).subscription())
    assert answer["message"].startswith("Subaccount verification failed")
    own = make_device(owner, by=new_member(owner)).subscription()
    answer = ask(server, "/subscribe", {**own, "signature": make_device(owner).subscription()["signature"]})
    assert answer == {"error": 1, "message": "Signature verification failed"}


def test_an_array_is_answered_by_an_array(
    server: PushServer, make_device: Any, new_account: NewOwner
) -> None:
    devices = [make_device(new_account(name)) for name in ("alice", "bob")]
    good = [device.subscription() for device in devices]
    answers = ask(server, "/subscribe", [good[0], 7, {**good[1], "data": "x"}, good[1], good[1]])
    assert [answer.get("error") for answer in answers] == [None, 1, 1, None, None]
    assert [set(answer) for answer in answers[3:]] == [{"success", "added"}, {"success", "updated"}]
    assert ask(server, "/subscribe", []) == []
    ended = ask(server, "/unsubscribe", [device.unsubscription() for device in devices])
    assert ended == [{"success": True, "removed": True}] * 2


def test_a_request_that_is_too_long_is_refused(server: PushServer, device: Any) -> None:
    request = device.subscription()
    body = json.dumps([request]).encode()
    assert ask(server, "/subscribe", body.ljust(MAX_BODY_BYTES))[0]["success"] is True
    assert ask(server, "/subscribe", body.ljust(MAX_BODY_BYTES + 1))["error"] == ErrorCode.BAD_INPUT


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"null", b'"x"', b"1"])
def test_what_is_no_request_at_all(server: PushServer, body: bytes) -> None:
    assert ask(server, "/subscribe", body)["error"] == 1
    assert ask(server, "/unsubscribe", body)["error"] == 1


def test_other_paths_and_methods(server: PushServer) -> None:
    for method, target, status in (
        ("GET", "/subscribe", 405),
        ("POST", "/sink", 404),
        ("GET", "/sink", 404),
        ("GET", "/", 404),
        ("POST", "/oxen/v4/lsrpc", 400),
    ):
        assert server.handle(ServiceRequest.from_target(method, target, {})).status == status


def test_a_defect_is_answered_5_and_shows_in_the_trace(
    server: PushServer, trace: Trace, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(server._store, "put", broken)
    assert ask(server, "/subscribe", device.subscription())["error"] == ErrorCode.INTERNAL_ERROR
    assert len(trace.events(kind="push_server_error")) == 1


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), path=st.sampled_from(["/subscribe", "/unsubscribe"]))
def test_any_change_of_a_request_is_refused_in_words(
    server: PushServer, trace: Trace, device: Any, data: st.DataObject, path: str
) -> None:
    request = device.subscription()
    name = data.draw(st.sampled_from([*request, "subaccount", "subaccount_sig"]))
    value = data.draw(values.filter(lambda value: value != request.get(name)))
    answer = ask(server, path, {**request, name: value})
    assert trace.events(kind="push_server_error") == []
    assert answer.get("success") is True or answer["error"] in (1, 2)
    if name in ("pubkey", "session_ed25519", "signature", "sig_ts", "service"):
        assert "error" in answer


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_answered(server: PushServer, trace: Trace, body: bytes) -> None:
    for path in ("/subscribe", "/unsubscribe"):
        answer = ask(server, path, body)
        for each in answer if isinstance(answer, list) else [answer]:
            assert each["error"] == 1
    assert trace.events(kind="push_server_error") == []


# -- what nodes tell --


def test_only_the_first_node_that_tells_is_heard(
    server: PushServer, link: RecordingLink, device: Any
) -> None:
    ask(server, "/subscribe", device.subscription())
    account = bytes.fromhex(device.owner.account_id)
    link.push("node-a", **{"@": account})
    link.push("node-b", **{"@": account})
    link.push("node-b", **{"@": account, "h": "another"})
    link.push("node-a", **{"@": account, "h": "another"})
    link.push("node-a", **{"@": bytes(33), "h": "of a stranger"})
    hashes = [device.opens(each).message_hash for each in server.sink.delivered()]
    assert hashes == ["hash", "another"]


@pytest.mark.parametrize(
    "body", [{}, {"@": 5}, {"h": [b"x"]}, {"n": b"0"}, {"t": b"x"}, {"z": b"x"}, {"h": b"\xff"}, {"~": 5}]
)
def test_a_push_that_is_none_hurts_nobody(
    server: PushServer, link: RecordingLink, trace: Trace, device: Any, body: dict[str, Any]
) -> None:
    ask(server, "/subscribe", device.subscription())
    account = bytes.fromhex(device.owner.account_id)
    if body:
        link.push("node-a", **{"@": account, **body})
    else:
        link.ears["node-a"](PUSH_COMMAND, b"de")
    assert server.sink.delivered() == []
    assert len(trace.events(kind="push_server_error")) == 1
    link.push("node-a", **{"@": account, "h": "a good one"})
    assert len(server.sink.delivered()) == 1


def test_what_is_no_dictionary_and_other_commands_are_ignored(
    server: PushServer, link: RecordingLink, device: Any
) -> None:
    ask(server, "/subscribe", device.subscription())
    link.ears["node-a"](PUSH_COMMAND, b"le")
    link.ears["node-a"](b"notify.block", b"de")
    link.ears["node-a"](ENDED_COMMAND, b"de")
    assert server.sink.delivered() == []


def test_a_node_that_ended_or_refused_is_asked_again(
    server: PushServer, link: RecordingLink, clock: Clock, device: Any
) -> None:
    ask(server, "/subscribe", device.subscription())
    link.asked.clear()
    asyncio.run(server.refresh())
    assert link.asked == []
    account = bytes.fromhex(device.owner.account_id)
    link.ears["node-b"](ENDED_COMMAND, bencode.encode({"@": account, "errcode": 6}))
    asyncio.run(server.refresh())
    assert [node for node, _ in link.asked] == ["node-b"]
    for reachable, reply in ((False, {}), (True, {"errcode": 6, "error": "x"})):
        link.asked.clear()
        link.reachable, link.reply = reachable, reply
        server.forget_node("node-a")
        for _ in range(2):
            asyncio.run(server.refresh())
        assert [node for node, _ in link.asked] == ["node-a", "node-a"]
    link.asked.clear()
    link.reachable, link.reply = True, {"success": 1}
    asyncio.run(server.refresh())
    asyncio.run(server.refresh())
    assert [node for node, _ in link.asked] == ["node-a"]
    link.asked.clear()
    clock.move(33 * 60_000)
    asyncio.run(server.refresh())
    assert sorted(node for node, _ in link.asked) == ["node-a", "node-b"]


@pytest.mark.parametrize("nonsense", [b"", b"x", b"l", b"i1", b"0:", b"le", b"l" * 5000, b"d1:ai1ee"])
def test_what_a_node_says_that_cannot_be_read_does_no_harm(
    server: PushServer, link: RecordingLink, device: Any, monkeypatch: pytest.MonkeyPatch, nonsense: bytes
) -> None:
    async def subscribe(node: str, hear: Any, request: bytes) -> bytes | None:
        await RecordingLink.subscribe(link, node, hear, request)
        return nonsense

    monkeypatch.setattr(link, "subscribe", subscribe)
    assert ask(server, "/subscribe", device.subscription()) == {"success": True, "added": True}
    assert [node for node, _ in link.asked] == ["node-a", "node-b"]
    # As nobody has said yes, both are asked again.
    asyncio.run(server.refresh())
    assert len(link.asked) == 4
    for command in (PUSH_COMMAND, ENDED_COMMAND):
        link.ears["node-a"](command, nonsense)
    assert server.sink.delivered() == []
    link.push("node-a")
    assert len(server.subscriptions()) == 1


def test_a_subscription_that_ends_is_purged(server: PushServer, clock: Clock, device: Any) -> None:
    ask(server, "/subscribe", device.subscription())
    clock.move(14 * DAY_S * 1000 - 1)
    asyncio.run(server.refresh())
    assert len(server.subscriptions()) == 1
    clock.move(1)
    assert server.subscriptions() == []
    assert server._store.purge(now_s=clock.now_ms() // 1000) == 1


def test_a_foreign_database_is_left_alone(
    clock: Clock, trace: Trace, link: RecordingLink, tmp_path: Path
) -> None:
    (tmp_path / "push.sqlite").write_bytes(b"of somebody else" * 20)
    with pytest.raises(DatabaseRefused):
        PushServer(SEED, clock=clock, trace=trace, link=link, directory=tmp_path)
    assert (tmp_path / "push.sqlite").read_bytes() == b"of somebody else" * 20


def test_messages_are_remembered_until_they_expire_and_not_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("session_testnet.services.push.seen._CAPACITY", 3)
    seen = SeenMessages()
    assert [seen.is_new(name, when) for name, when in ((b"a", 5), (b"b", 9), (b"a", 5))] == [
        True,
        True,
        False,
    ]
    seen.purge(5)
    assert (seen.is_new(b"a", 5), seen.is_new(b"b", 9)) == (True, False)
    assert [seen.is_new(name, 9) for name in (b"c", b"d")] == [True, True]
    assert (seen.is_new(b"b", 9), seen.is_new(b"d", 9)) == (True, False)
