"""Account requests: swarm choice, repetition, clocks, deadlines (with a scripted transport)."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from session_testnet.client import NetworkClient, ServiceNode, Timeouts
from session_testnet.client.errors import (
    ClientError,
    ClockSkew,
    ConnectionLost,
    DeadlineExceeded,
    NetworkError,
    NodeFailed,
    NotFound,
    Refused,
    TooLarge,
    Unauthorized,
    WrongSwarm,
)
from session_testnet.client.transport import NodeReply

ALICE = "05" + "aa" * 32
NODES = [
    ServiceNode(f"{number:064x}", f"{number + 100:064x}", f"127.0.{number}.1", 22021)
    for number in range(1, 11)
]
SWARM, OTHER_SWARM = NODES[:5], NODES[5:]
NOW = 1_700_000_000_000

Behaviour = Callable[[ServiceNode, str, dict[str, Any]], NodeReply | ClientError]


def swarm_body(members: list[ServiceNode], now_ms: int = NOW) -> dict[str, Any]:
    return {
        "snodes": [
            {
                "ip": node.ip,
                "port": str(node.port),
                "port_https": node.port,
                "pubkey_ed25519": node.ed25519_pk,
                "pubkey_x25519": node.x25519_pk,
            }
            for node in members
        ],
        "swarm": "1",
        "t": now_ms,
        "hf": [21, 2],
    }


class ScriptedNodes:
    """A network of nodes that answer ``get_swarm`` and ``info``; everything else from a function."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.members = SWARM
        self.now_ms = NOW
        self.wrong_clocks: dict[str, int] = {}
        self.asked: list[tuple[ServiceNode, str, dict[str, Any]]] = []

    async def node_request(
        self, node: ServiceNode, request: bytes, *, timeout_s: float, what: str
    ) -> NodeReply:
        message = json.loads(request)
        method, params = message["method"], message["params"]
        self.asked.append((node, method, params))
        now_ms = self.now_ms + self.wrong_clocks.get(node.ed25519_pk, 0)
        if method == "get_swarm":
            return NodeReply(200, swarm_body(self.members, now_ms))
        if method == "info":
            return NodeReply(200, {"version": [2, 11, 3], "timestamp": now_ms, "t": now_ms, "hf": [21, 2]})
        answer = self.behaviour(node, method, params)
        if isinstance(answer, ClientError):
            raise answer
        return answer

    def stores(self) -> list[ServiceNode]:
        return [node for node, method, _ in self.asked if method == "store"]


def made(
    behaviour: Behaviour, *, call_s: float = 5, offset_ms: int = 0
) -> tuple[NetworkClient, ScriptedNodes]:
    client = NetworkClient(
        None,
        "http://127.0.0.1:1",
        use_onion=False,
        clock=lambda: NOW,
        offset_ms=offset_ms,
        rng=random.Random(4),
        timeouts=Timeouts(call_s=call_s),
    )
    nodes = ScriptedNodes(behaviour)
    client._transport = nodes
    client.paths.learn(NODES)
    return client, nodes


def run(action: Awaitable[Any]) -> Any:
    async def main() -> Any:
        return await action

    return asyncio.run(main())


def ok(body: Any = None) -> NodeReply:
    return NodeReply(200, {"hash": "h", "t": NOW} if body is None else body)


def store(client: NetworkClient, **params: Any) -> Any:
    return run(client.account_rpc(ALICE, "store", params or {"pubkey": ALICE}))


def first_time(failure: NodeReply | ClientError) -> Behaviour:
    """Fail once, whoever is asked first."""
    done: list[bool] = []

    def behaviour(node: ServiceNode, method: str, params: dict[str, Any]) -> NodeReply | ClientError:
        if not done:
            done.append(True)
            return failure
        return ok()

    return behaviour


class TestMembers:
    def test_a_member_of_the_swarm_is_asked(self) -> None:
        client, nodes = made(lambda *_: ok())
        assert store(client).node in SWARM
        assert len(nodes.stores()) == 1

    def test_the_choice_covers_the_swarm(self) -> None:
        client, _ = made(lambda *_: ok())

        async def many() -> Counter[ServiceNode]:
            return Counter([(await client.account_rpc(ALICE, "store", {})).node for _ in range(100)])

        assert set(run(many())) == set(SWARM)

    def test_a_preferred_member_is_asked_first(self) -> None:
        client, _ = made(lambda *_: ok())
        assert run(client.account_rpc(ALICE, "store", {}, prefer=SWARM[3])).node == SWARM[3]

    def test_the_swarm_is_looked_up_once(self) -> None:
        client, nodes = made(lambda *_: ok())

        async def twice() -> None:
            await client.account_rpc(ALICE, "store", {})
            await client.account_rpc(ALICE, "store", {})

        run(twice())
        assert [method for _, method, _ in nodes.asked].count("get_swarm") == 1

    @pytest.mark.parametrize(
        "failure",
        [
            NodeReply(500, "request failed"),
            NodeReply(502, "oxend returned unparsable data"),
            NodeReply(503, "Snode not ready"),
            NodeReply(504, "Request time out"),
            ConnectionLost("broken"),
            DeadlineExceeded("slow"),
        ],
    )
    def test_a_failing_member_is_passed_over(self, failure: NodeReply | ClientError) -> None:
        client, nodes = made(first_time(failure))
        store(client)
        first, second = nodes.stores()
        assert first != second

    def test_a_swarm_that_fails_as_a_whole_is_given_up_with_the_story(self) -> None:
        client, nodes = made(lambda *_: NodeReply(503, "Snode not ready"))
        with pytest.raises(NodeFailed) as caught:
            store(client)
        assert caught.value.data["status"] == 503
        assert caught.value.data["method"] == "store"
        attempts = caught.value.data["attempts"]
        assert len(attempts) == len(nodes.stores()) == 6
        assert {attempt["node"] for attempt in attempts} == {node.ed25519_pk for node in SWARM}

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(400, Refused), (401, Unauthorized), (403, Refused), (404, NotFound), (413, TooLarge)],
    )
    def test_what_is_about_the_request_is_not_repeated(self, status: int, kind: type[ClientError]) -> None:
        client, nodes = made(lambda *_: NodeReply(status, "the reason"))
        with pytest.raises(kind, match="the reason") as caught:
            store(client)
        assert caught.value.data["status"] == status
        assert len(nodes.stores()) == 1

    def test_the_whole_request_has_a_deadline(self) -> None:
        client, nodes = made(lambda *_: ok(), call_s=0.05)

        async def never(*_: Any, **__: Any) -> NodeReply:
            await asyncio.Event().wait()
            raise AssertionError("nobody sets the event")

        nodes.node_request = never  # type: ignore[method-assign]
        with pytest.raises(DeadlineExceeded, match=r"waited 0\.05 s for store of 05aaaaaaaa"):
            store(client)


class TestWrongSwarm:
    def test_the_swarm_that_a_421_names_is_used_from_then_on(self) -> None:
        def behaviour(node: ServiceNode, method: str, params: dict[str, Any]) -> NodeReply:
            return NodeReply(421, swarm_body(OTHER_SWARM)) if node in SWARM else ok()

        client, nodes = made(behaviour)
        assert store(client).node in OTHER_SWARM
        assert len(nodes.stores()) == 2
        assert run(client.swarm(ALICE)) == tuple(OTHER_SWARM)

    def test_a_421_without_nodes_drops_the_member(self) -> None:
        client, nodes = made(first_time(NodeReply(421, "wrong swarm")))
        store(client)
        assert nodes.stores()[0] not in run(client.swarm(ALICE))

    def test_a_421_inside_a_batch_counts(self) -> None:
        bodies = iter(
            [
                {"results": [{"code": 421, "body": swarm_body(OTHER_SWARM)}]},
                {"results": [{"code": 200, "body": {"t": NOW}}]},
            ]
        )
        client, _ = made(lambda *_: ok(next(bodies)))
        reply = run(client.account_rpc(ALICE, "batch", {"requests": []}))
        assert reply.node in OTHER_SWARM

    def test_a_swarm_that_nobody_is_in_is_reported(self) -> None:
        client, _ = made(lambda *_: NodeReply(421, swarm_body(SWARM)))
        with pytest.raises(WrongSwarm) as caught:
            store(client)
        assert caught.value.code == "wrong_swarm"
        assert "body" not in caught.value.data


class TestClocks:
    def test_a_406_measures_time_and_makes_the_request_anew(self) -> None:
        hour = 3_600_000
        times: list[int] = []

        def behaviour(node: ServiceNode, method: str, params: dict[str, Any]) -> NodeReply:
            times.append(params["timestamp"])
            return ok() if abs(params["timestamp"] - NOW) < 10_000 else NodeReply(406, "check your clock")

        client, nodes = made(behaviour, offset_ms=hour)
        nodes.behaviour = behaviour
        # The look-up would correct the clock already: give it a node list without time.
        client._swarms.put(ALICE, _swarm(SWARM))
        run(client.account_rpc(ALICE, "retrieve", lambda now_ms, _: {"timestamp": now_ms}))
        assert times == [NOW + hour, NOW]
        assert client.time.offset_ms == 0

    def test_a_look_up_shows_a_wrong_clock(self) -> None:
        client, _ = made(lambda *_: ok(), offset_ms=-(10**7))
        store(client)
        assert client.time.offset_ms == 0

    def test_a_node_with_a_wrong_clock_does_not_move_ours(self) -> None:
        liar = SWARM[2]

        def behaviour(node: ServiceNode, method: str, params: dict[str, Any]) -> NodeReply:
            return ok({"hash": "h", "t": NOW + (10**8 if node == liar else 0)})

        client, nodes = made(behaviour)
        nodes.wrong_clocks[liar.ed25519_pk] = 10**8

        async def often() -> None:
            for _ in range(3):
                await client.account_rpc(ALICE, "store", {}, prefer=liar)

        run(often())
        assert client.time.offset_ms == 0
        infos = [node for node, method, _ in nodes.asked if method == "info"]
        assert len(infos) == 3, "once the node is known to be wrong, nothing is measured for it again"

    def test_a_clock_that_no_node_accepts_is_reported(self) -> None:
        client, _ = made(lambda *_: NodeReply(406, "check your clock"))
        with pytest.raises(ClockSkew):
            store(client)

    def test_the_measured_offset_is_returned(self) -> None:
        client, nodes = made(lambda *_: ok())
        nodes.now_ms = NOW + 77_000
        assert run(client.synchronise_clock()) == 77_000
        assert client.now_ms() == NOW + 77_000


class TestLookUp:
    def test_a_failing_node_is_passed_over(self) -> None:
        client, nodes = made(lambda *_: ok())
        real = nodes.node_request
        failed: list[bool] = []

        async def flaky(node: ServiceNode, request: bytes, *, timeout_s: float, what: str) -> NodeReply:
            if not failed:
                failed.append(True)
                raise ConnectionLost("broken")
            return await real(node, request, timeout_s=timeout_s, what=what)

        nodes.node_request = flaky  # type: ignore[method-assign]
        assert run(client.swarm(ALICE)) == tuple(SWARM)

    def test_an_account_without_swarm_is_reported(self) -> None:
        client, nodes = made(lambda *_: ok())
        nodes.members = []
        with pytest.raises(NetworkError, match="no swarm"):
            run(client.swarm(ALICE))


def _swarm(members: list[ServiceNode]) -> Any:
    from session_testnet.client.swarm import Swarm

    return Swarm("1", tuple(members))
