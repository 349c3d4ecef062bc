"""A registry that is behind, over HTTP: which nodes it lists, and at which height."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from session_testnet.clock import Clock
from session_testnet.endpoints import Endpoint, bind_socket
from session_testnet.faults import FaultBook, FaultError
from session_testnet.faults.rules import MAX_BLOCKS, FaultRule
from session_testnet.faults.stale_registry import StaleRegistry
from session_testnet.services.registry import RegistryApplication, RegistryState
from session_testnet.topology import Topology
from session_testnet.trace import Trace


def make_state(nodes: int = 4) -> RegistryState:
    topology = Topology.default(nodes, name="stale", seed="stale")
    advertised = {spec.name: Endpoint("127.0.0.1", 30_000 + n) for n, spec in enumerate(topology.nodes)}
    return RegistryState.from_topology(topology, advertised)


Ask = Callable[[str], Awaitable[dict[str, Any]]]


def over_http(
    check: Callable[[RegistryState, FaultBook, Ask, RegistryApplication], Awaitable[None]],
) -> Trace:
    """Run a check against a registry whose clients a book's rules strike; return the trace."""
    trace = Trace()

    async def run() -> None:
        state, book = make_state(), FaultBook()
        stale = StaleRegistry(state, book, trace)
        registry = RegistryApplication(state, clock=Clock(), trace=trace, view=stale)
        runner = web.AppRunner(registry.application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        listener = bind_socket("127.0.0.1")
        await web.SockSite(runner, listener).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:

            async def ask(method: str) -> dict[str, Any]:
                async with session.post(f"{url}/json_rpc", json={"method": method}) as answer:
                    reply: dict[str, Any] = (await answer.json())["result"]
                async with session.get(f"{url}/get_height") as answer:
                    # This one counts the blocks, of which the first has height 0.
                    reply["plain_height"] = (await answer.json())["height"] - 1
                return reply

            await check(state, book, ask, registry)
        await runner.cleanup()
        stale.close()

    asyncio.run(run())
    return trace


def test_clients_learn_of_a_change_late_and_nodes_at_once() -> None:
    async def check(state: RegistryState, book: FaultBook, ask: Ask, registry: RegistryApplication) -> None:
        before, height = {record.info.name for record in state.records}, state.height
        rule_id = book.add({"action": "stale_registry", "blocks": 2})
        state.remove_node("node-02")
        for blocks in (1, 2):
            answer = await ask("get_service_nodes")
            assert len(answer["service_node_states"]) == len(before)
            assert answer["height"] == answer["plain_height"] == height
            assert answer["block_hash"] == state.block_hash(height)
            # Nodes ask elsewhere, and know the truth.
            assert len(registry.rpc.call("get_service_nodes", {})["service_node_states"]) == 3
            state.advance()
            assert state.height == height + 1 + blocks
        late = await ask("get_service_nodes")
        assert len(late["service_node_states"]) == 3
        assert late["height"] == height + 1
        book.clear(rule_id)
        assert (await ask("get_service_nodes"))["height"] == state.height

    events = over_http(check).events(kind="fault")
    assert {event["action"] for event in events} == {"stale_registry"}
    assert {event["node"] for event in events} == {"registry"}


def test_only_so_many_requests_are_stale() -> None:
    async def check(state: RegistryState, book: FaultBook, ask: Ask, _registry: RegistryApplication) -> None:
        book.add({"action": "stale_registry", "times": 1})
        state.advance(5)
        answer = await ask("get_service_nodes")
        assert answer["height"] == state.height - 1
        assert answer["plain_height"] == state.height

    over_http(check)


@given(st.lists(st.sampled_from(["advance", "stop", "start"]), max_size=12), st.integers(1, 15))
def test_the_past_is_what_it_was(changes: list[str], blocks: int) -> None:
    state, book = make_state(3), FaultBook()
    stale = StaleRegistry(state, book, Trace())
    was = {state.height: state.snapshot()}
    for number, change in enumerate(changes):
        if change == "advance":
            state.advance()
        else:
            state.set_reachable(f"node-0{number % 3 + 1}", change == "start", now_s=0)
        was[state.height] = state.snapshot()
    book.add({"action": "stale_registry", "blocks": blocks})
    shown = asyncio.run(stale.shown())
    expected = max(min(was), state.height - blocks)
    assert shown.snapshot() == was[expected]


def test_only_what_can_be_shown_is_remembered() -> None:
    state = make_state(1)
    stale = StaleRegistry(state, FaultBook(), Trace())
    for _ in range(20):
        state.advance(MAX_BLOCKS // 4)
    assert len(stale._history) <= 6


def test_the_action_names_no_node() -> None:
    assert FaultRule.parse({"action": "stale_registry", "node": "registry"}).blocks == 1
    with pytest.raises(FaultError, match="does not concern the node 'node-01'"):
        FaultRule.parse({"action": "stale_registry", "node": "node-01"})
    with pytest.raises(FaultError, match="takes no 'blocks'"):
        FaultRule.parse({"action": "drop", "blocks": 2})
