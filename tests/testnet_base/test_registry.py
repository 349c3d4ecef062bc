"""The registry: its model of the network, and what it answers over http and https."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
import pybase64
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from session_protocol.service_nodes import NodeIdentity
from session_protocol.swarms import UNASSIGNED, choose_swarm, swarm_position
from session_testnet.certificates import self_signed_context
from session_testnet.clock import Clock
from session_testnet.endpoints import ANY, Endpoint, bind_socket, node_address
from session_testnet.services.registry import (
    NameRecord,
    NetworkSnapshot,
    NodeInfo,
    RegistryApplication,
    RegistryError,
    RegistryState,
)
from session_testnet.services.registry.json_rpc import RegistryRpc
from session_testnet.services.registry.node_list import NODE_FIELDS, desktop_objection
from session_testnet.topology import Topology, default_nodes
from session_testnet.trace import Trace

NOW_MS = 1_760_000_000_000
FOUR_FIELDS = ("public_ip", "storage_port", "pubkey_x25519", "pubkey_ed25519")
DESKTOP_FIELDS = dict.fromkeys((*FOUR_FIELDS, "requested_unlock_height", "height"), True)


def make_state(nodes: int = 14, swarms: int | None = None) -> RegistryState:
    topology = replace(Topology.default(nodes, swarms=swarms), height=1000)
    return RegistryState.from_topology(
        topology, {node.name: Endpoint(node_address(n), 22021) for n, node in enumerate(topology.nodes, 1)}
    )


def make_rpc(state: RegistryState | None = None, trace: Trace | None = None) -> RegistryRpc:
    return RegistryRpc(
        state or make_state(),
        clock=Clock(lambda: NOW_MS * 1_000_000),
        trace=trace or Trace(),
        rng=random.Random(1),
    )


def new_node(name: str) -> NodeInfo:
    identity = NodeIdentity.from_seed(name.encode().ljust(32, b"."))
    return NodeInfo(
        name, identity.ed25519_pk.hex(), identity.x25519_pk.hex(), "127.0.200.1", 22021, 22020, UNASSIGNED
    )


class TestSnapshot:
    def test_swarms_group_the_active_nodes(self) -> None:
        snapshot = make_state().snapshot()
        assert snapshot.swarm_ids == (0, 2**63 - 1)
        assert sum(map(len, snapshot.swarms.values())) == len(snapshot.nodes) == 14
        for swarm_id, members in snapshot.swarms.items():
            assert {node.swarm_id for node in members} == {swarm_id}
            assert list(members) == sorted(members, key=lambda node: node.ed25519_pk)
        assert snapshot.members(5) == ()

    @given(st.binary(min_size=33, max_size=33))
    def test_an_account_belongs_to_the_swarm_of_the_rule(self, account: bytes) -> None:
        swarm_id, members = SNAPSHOT.swarm_of(account)
        assert swarm_id == choose_swarm(swarm_position(account), SNAPSHOT.swarm_ids)
        assert members == SNAPSHOT.members(swarm_id)

    def test_without_swarms_nobody_is_served(self) -> None:
        empty = NetworkSnapshot.of((), height=1, block_hash="00" * 32)
        assert empty.swarm_of(b"\x05" * 33) == (UNASSIGNED, ())

    def test_nodes_are_found_by_key_and_name(self) -> None:
        node = SNAPSHOT.nodes[3]
        assert SNAPSHOT.by_key(node.ed25519_pk.upper()) is SNAPSHOT.by_name(node.name) is node
        assert SNAPSHOT.by_key("00" * 32) is None
        with pytest.raises(KeyError, match="node-01"):
            SNAPSHOT.by_name("node-99")


SNAPSHOT = make_state().snapshot()


class TestState:
    def test_the_keys_are_those_of_the_topology(self) -> None:
        for spec, node in zip(default_nodes(14, "0"), SNAPSHOT.nodes, strict=True):
            identity = NodeIdentity.from_seed(spec.seed)
            assert (node.name, node.ed25519_pk, node.x25519_pk) == (
                *(spec.name, identity.ed25519_pk.hex(), identity.x25519_pk.hex()),
            )

    def test_every_change_is_a_block_and_is_told(self) -> None:
        state = make_state()
        told: list[NetworkSnapshot] = []
        unsubscribe = state.subscribe(told.append)
        before = state.snapshot()
        assert state.snapshot() is before
        state.remove_node("node-01")
        state.decommission("node-02")
        state.set_endpoint("node-03", Endpoint("127.0.9.1", 5))
        state.set_reachable("node-03", reachable=False, now_s=1)
        state.advance(10)
        assert [snapshot.height - before.height for snapshot in told] == [1, 2, 3, 4, 14]
        assert len({snapshot.block_hash for snapshot in (before, *told)}) == 6
        assert told[-1] is state.snapshot()
        assert told[-1].by_name("node-03").ip == "127.0.9.1"
        assert len(before.nodes) == 14, "an old snapshot never changes"
        unsubscribe()
        unsubscribe()
        state.advance()
        assert len(told) == 5

    def test_reachability_has_a_beginning_and_an_end(self) -> None:
        state = make_state()
        clock = Clock(lambda: NOW_MS * 1_000_000)
        rpc = RegistryRpc(state, clock=clock, trace=Trace(), rng=random.Random(1))
        wanted = ("reachable", "first_unreachable", "last_unreachable", "last_reachable")

        def told() -> list[Any]:
            fields = {"pubkey_ed25519": True, **{f"storage_server_{name}": True for name in wanted}}
            nodes = ask(rpc, "get_service_nodes", {"fields": fields})["result"]["service_node_states"]
            key = state.snapshot().by_name("node-03").ed25519_pk
            (node,) = [each for each in nodes if each["pubkey_ed25519"] == key]
            return [node[f"storage_server_{name}"] for name in wanted]

        begin = clock.now_ms() // 1000
        assert told() == [True, 0, 0, begin]
        state.set_reachable("node-03", reachable=False, now_s=begin)
        clock.move(60_000)
        state.set_reachable("node-03", reachable=False, now_s=begin + 60)
        assert told() == [False, begin, begin + 60, begin]
        state.set_reachable("node-03", reachable=True, now_s=begin + 60)
        clock.move(60_000)
        assert told() == [True, 0, begin + 60, begin + 120]

    def test_a_decommissioned_node_relays_and_belongs_to_no_swarm(self) -> None:
        state = make_state()
        state.decommission("node-05")
        node = state.snapshot().by_name("node-05")
        assert (node.active, node.swarm_id) == (False, UNASSIGNED)
        assert all(node not in members for members in state.snapshot().swarms.values())
        assert state.records[4].decommission_count == 1
        with pytest.raises(RegistryError, match="already"):
            state.decommission("node-05")
        state.recommission("node-05")
        assert state.snapshot().by_name("node-05").swarm_id in state.snapshot().swarm_ids
        with pytest.raises(RegistryError, match="is active"):
            state.recommission("node-05")

    def test_new_nodes_get_a_swarm_by_the_rule(self) -> None:
        state = make_state()
        for number in range(7):
            added = state.add_node(new_node(f"new-{number}"))
            assert added.swarm_id != UNASSIGNED
        assert len(state.snapshot().swarm_ids) == 3
        with pytest.raises(RegistryError, match="already a node new-0"):
            state.add_node(new_node("new-0"))

    def test_one_key_is_one_node(self) -> None:
        state = make_state()
        twin = new_node("twin")
        state.add_node(twin)
        with pytest.raises(RegistryError, match="already registered"):
            state.add_node(NodeInfo("other", twin.ed25519_pk, twin.x25519_pk, "127.0.0.9", 1, 1, 0))

    def test_given_swarms_stay_as_they_are(self) -> None:
        # Nodes are dealt out in turn: node-01 and node-04 share a swarm, so do 02 and 05, 03 and 06.
        state = make_state(6, swarms=3)
        first, second, third = state.snapshot().swarm_ids
        state.remove_node("node-01")
        state.decommission("node-05")
        left = {
            swarm_id: [node.name for node in members] for swarm_id, members in state.snapshot().swarms.items()
        }
        assert left == {first: ["node-04"], second: ["node-02"], third: left[third]}
        assert sorted(left[third]) == ["node-03", "node-06"]
        # A newcomer without a wish goes where it is needed most.
        assert state.add_node(new_node("new")).swarm_id == first
        state.recommission("node-05")
        assert state.snapshot().by_name("node-05").swarm_id == second

    def test_nodes_can_be_moved_by_hand(self) -> None:
        state = make_state()
        state.move_node("node-01", 77)
        assert [node.name for node in state.snapshot().members(77)] == ["node-01"]
        state.advance()
        state.remove_node("node-02")
        assert [node.name for node in state.snapshot().members(77)] == ["node-01"], "no rule moves it back"

    def test_unknown_names_are_refused_with_the_known_ones(self) -> None:
        with pytest.raises(RegistryError, match="node-01, node-02"):
            make_state(2).remove_node("node-03")

    @settings(max_examples=25)
    @given(
        st.lists(st.tuples(st.sampled_from(["add", "remove", "off", "on"]), st.integers(0, 40)), max_size=25)
    )
    def test_any_history_keeps_the_network_sound(self, history: list[tuple[str, int]]) -> None:
        state = make_state(14)
        for verb, number in history:
            records = state.records
            name = records[number % len(records)].info.name if records else "none"
            with contextlib.suppress(RegistryError):
                match verb:
                    case "add":
                        state.add_node(new_node(f"new-{number}"))
                    case "remove":
                        state.remove_node(name)
                    case "off":
                        state.decommission(name)
                    case "on":
                        state.recommission(name)
        snapshot = state.snapshot()
        assigned = [node.name for members in snapshot.swarms.values() for node in members]
        assert sorted(assigned) == sorted(node.name for node in snapshot.nodes if node.active)
        if len(snapshot.swarms) > 1:
            assert min(map(len, snapshot.swarms.values())) >= 5


def ask(rpc: RegistryRpc, method: str, params: Any = None, **envelope: Any) -> Any:
    request = {"method": method, **envelope}
    if params is not None:
        request["params"] = params
    return rpc.answer(orjson.dumps(request))


def nodes_of(rpc: RegistryRpc, **params: Any) -> list[dict[str, Any]]:
    states: list[dict[str, Any]] = ask(rpc, "get_service_nodes", params)["result"]["service_node_states"]
    return states


class TestNodeList:
    @pytest.mark.parametrize("method", ["get_service_nodes", "get_n_service_nodes", "get_all_service_nodes"])
    def test_one_list_with_three_names(self, method: str) -> None:
        reply = ask(make_rpc(), method)
        assert reply["id"] is None
        assert len(reply["result"]["service_node_states"]) == 14
        assert reply["result"]["status"] == "OK"

    def test_all_fields(self) -> None:
        result = ask(make_rpc(), "get_service_nodes", {})["result"]
        assert (result["height"], result["target_height"], result["hardfork"], result["snode_revision"]) == (
            *(1000, 1000, 21, 2),
        )
        assert result["block_hash"] == Topology.default().block_hash(1000)
        for node, info in zip(result["service_node_states"], SNAPSHOT.nodes, strict=True):
            assert set(node) == set(NODE_FIELDS)
            assert node["service_node_pubkey"] == node["pubkey_ed25519"] == info.ed25519_pk
            assert node["swarm_id"] == info.swarm_id == int(node["swarm"], 16)
            assert (node["public_ip"], node["storage_port"], node["storage_lmq_port"]) == (
                info.ip,
                22021,
                22020,
            )
            assert node["storage_server_version"] == [2, 11, 3]
            assert node["requested_unlock_height"] == 0
            assert node["last_uptime_proof"] == NOW_MS // 1000
            assert (
                node["active"]
                is node["funded"]
                is node["payable"]
                is node["storage_server_reachable"]
                is True
            )
            assert len(bytes.fromhex(node["pubkey_bls"])) == 64

    @pytest.mark.parametrize(
        "fields",
        [
            dict.fromkeys(FOUR_FIELDS, True),
            list(FOUR_FIELDS),
            {**dict.fromkeys(FOUR_FIELDS, True), "active": False},
        ],
    )
    def test_fields_as_object_or_list(self, fields: Any) -> None:
        result = ask(make_rpc(), "get_n_service_nodes", {"fields": fields})["result"]
        assert set(result) == {"service_node_states", "status"}
        assert all(set(node) == set(FOUR_FIELDS) for node in result["service_node_states"])

    @pytest.mark.parametrize(
        "fields", [None, {}, [], ["all"], {"all": True}, {"active": False}, ["all", "active"]]
    )
    def test_all_fields_in_many_ways(self, fields: Any) -> None:
        assert set(nodes_of(make_rpc(), fields=fields)[0]) == set(NODE_FIELDS)

    def test_all_but_some(self) -> None:
        result = ask(
            make_rpc(), "get_service_nodes", {"fields": ["all", "-contributors", "-height", "-nothing"]}
        )["result"]
        assert "height" not in result
        assert "block_hash" in result
        assert set(result["service_node_states"][0]) == set(NODE_FIELDS) - {"contributors"}

    def test_active_only(self) -> None:
        state = make_state()
        state.decommission("node-01")
        rpc = make_rpc(state)
        assert len(nodes_of(rpc)) == 14
        active = nodes_of(rpc, active_only=True)
        assert len(active) == 13
        assert all(node["active"] for node in active)
        (idle,) = [node for node in nodes_of(rpc) if not node["active"]]
        assert (idle["swarm"], idle["payable"], idle["decommission_count"]) == ("f" * 16, False, 1)

    def test_chosen_nodes(self) -> None:
        wanted = [SNAPSHOT.nodes[2].ed25519_pk.upper(), SNAPSHOT.nodes[5].ed25519_pk, "00" * 32]
        found = [node["pubkey_ed25519"] for node in nodes_of(make_rpc(), service_node_pubkeys=wanted)]
        assert found == [SNAPSHOT.nodes[2].ed25519_pk, SNAPSHOT.nodes[5].ed25519_pk]

    @pytest.mark.parametrize(("limit", "count"), [(0, 14), (1, 1), (13, 13), (14, 14), (50, 14), (-1, 14)])
    def test_limits(self, limit: int, count: int) -> None:
        in_order = [node.ed25519_pk for node in SNAPSHOT.nodes]
        rpc = make_rpc()
        drawn = [[node["pubkey_ed25519"] for node in nodes_of(rpc, limit=limit)] for _ in range(4)]
        assert all(len(set(each)) == count for each in drawn)
        assert set().union(*drawn) <= set(in_order)
        # Only 0 leaves the order alone.
        assert (drawn == [in_order] * 4) is (limit == 0)

    def test_polling_for_changes(self) -> None:
        state = make_state()
        rpc = make_rpc(state)
        known = state.block_hash()
        fields = {"height": True, "public_ip": True}
        same = ask(rpc, "get_service_nodes", {"fields": fields, "poll_block_hash": known.upper()})["result"]
        assert same == {"height": 1000, "unchanged": True, "status": "OK"}
        state.advance()
        other = ask(rpc, "get_service_nodes", {"fields": fields, "poll_block_hash": known})["result"]
        assert (other["unchanged"], other["block_hash"], other["height"]) == (False, state.block_hash(), 1001)
        assert len(other["service_node_states"]) == 14
        assert "unchanged" not in ask(rpc, "get_service_nodes", {"poll_block_hash": ""})["result"]

    @pytest.mark.parametrize(
        "params",
        [
            {"fields": "all"},
            {"fields": [1]},
            {"active_only": 1},
            {"limit": "5"},
            {"limit": True},
            {"service_node_pubkeys": "00"},
            {"service_node_pubkeys": ["00"]},
            {"poll_block_hash": "xyz"},
            {"poll_block_hash": 5},
            [],
            "text",
        ],
    )
    def test_wrong_params_are_refused(self, params: Any) -> None:
        error = ask(make_rpc(), "get_service_nodes", params, id=4)
        assert (error["id"], error["error"]["code"], error["error"]["message"]) == (
            4,
            -32602,
            "Invalid params",
        )
        assert error["error"]["data"].startswith("Unable to parse request: ")

    def test_what_desktop_asks_for_satisfies_its_rules_and_the_outcome_is_traced(self) -> None:
        trace = Trace()
        rpc = make_rpc(trace=trace)
        result = ask(
            rpc, "get_n_service_nodes", {"active_only": True, "fields": DESKTOP_FIELDS}, jsonrpc="2.0"
        )["result"]
        assert set(result) == {"height", "service_node_states", "status"}
        assert desktop_objection(result) is None
        ask(rpc, "get_n_service_nodes", {"fields": {"requested_unlock_height": True}})
        assert [event["desktop"] for event in trace.events(kind="registry")] == [
            "accepts",
            "result.height is missing",
        ]

    @pytest.mark.parametrize(
        "missing", ["public_ip", "storage_port", "pubkey_ed25519", "pubkey_x25519", "requested_unlock_height"]
    )
    def test_one_incomplete_node_spoils_the_list_for_desktop(self, missing: str) -> None:
        result = ask(make_rpc(), "get_n_service_nodes", {"fields": DESKTOP_FIELDS})["result"]
        del result["service_node_states"][7][missing]
        assert desktop_objection(result) == f"{missing} of node 7 is missing"

    def test_a_list_without_usable_addresses_is_refused_by_desktop(self) -> None:
        result = ask(make_rpc(), "get_n_service_nodes", {"fields": DESKTOP_FIELDS})["result"]
        for node in result["service_node_states"]:
            node["public_ip"] = ANY
        assert desktop_objection(result) == "no node has a usable address"


class TestOtherMethods:
    def test_info(self) -> None:
        state = make_state()
        info = ask(make_rpc(state), "get_info")["result"]
        assert (info["height"], info["top_block_hash"], info["hard_fork"]) == (1001, state.block_hash(), 21)
        assert (info["mainnet"], info["nettype"], info["target"], info["version"]) == (
            False,
            "devnet",
            120,
            "11",
        )

    def test_block_hashes(self) -> None:
        state = make_state()
        rpc = make_rpc(state)
        result = ask(rpc, "get_block_hash", {"height": [1000, 5]})["result"]
        assert result == {
            "1000": state.block_hash(),
            "5": Topology.default().block_hash(5),
            "height": 1001,
            "status": "OK",
        }
        assert ask(rpc, "get_block_hash", {"height": [1001]})["error"]["code"] == -2
        for wrong in ({}, {"height": ["5"]}, {"height": [-1]}, {"height": [True]}, {"height": [1] * 1001}):
            assert ask(rpc, "get_block_hash", wrong)["error"]["code"] == -32602

    def test_names(self) -> None:
        state = make_state()
        rpc = make_rpc(state)
        name_hash = bytes(range(32))
        state.register_name(name_hash, NameRecord(b"\x01" * 49, b"\x02" * 24))
        wanted = {"encrypted_value": "01" * 49, "nonce": "02" * 24, "status": "OK"}
        padded = pybase64.b64encode(name_hash).decode()
        for text in (name_hash.hex(), padded, padded.rstrip("=")):
            assert ask(rpc, "ons_resolve", {"type": 0, "name_hash": text})["result"] == wanted
        assert ask(rpc, "ons_resolve", {"type": 0, "name_hash": "00" * 32})["result"] == {"status": "OK"}
        assert ask(rpc, "ons_resolve", {"type": 2, "name_hash": name_hash.hex()})["result"] == {
            "status": "OK"
        }
        for wrong in ({}, {"type": 0}, {"type": 0, "name_hash": "00"}, {"type": "0", "name_hash": "00" * 32}):
            assert ask(rpc, "ons_resolve", wrong)["error"]["code"] == -32602
        with pytest.raises(RegistryError, match="32 bytes"):
            state.register_name(b"short", NameRecord(b"", b"\x02" * 24))

    @pytest.mark.parametrize("request_id", [0, "0", None, 1.5, [1]])
    def test_the_id_comes_back(self, request_id: Any) -> None:
        reply = ask(make_rpc(), "get_height", id=request_id, jsonrpc="2.0")
        assert reply["id"] == request_id
        assert reply["jsonrpc"] == "2.0"

    def test_errors_of_the_envelope(self) -> None:
        rpc = make_rpc()
        assert rpc.answer(b'{"method":') == {
            "jsonrpc": "2.0",
            "id": None,
            "error": {"code": -32700, "message": "Parse error"},
        }
        assert rpc.answer(b"\xff")["error"]["code"] == -32700
        for body in (b"[]", b"5", b"null", b"{}", b'{"method":5}', b'{"method":""}'):
            assert rpc.answer(body)["error"] == {"code": -32600, "message": "Invalid Request"}
        assert ask(rpc, "get_blocks", id=0) == {
            "jsonrpc": "2.0",
            "id": 0,
            "error": {"code": -32601, "message": "Method not found"},
        }

    def test_internal_callers_get_the_bare_result(self) -> None:
        assert len(make_rpc().call("get_service_nodes", {})["service_node_states"]) == 14

    @given(
        st.binary(max_size=40)
        | st.fixed_dictionaries(
            {
                "method": st.sampled_from(
                    ["get_service_nodes", "get_block_hash", "ons_resolve", "get_info", "x"]
                )
            },
            optional={
                "id": st.integers(-5, 5) | st.text(max_size=3),
                "params": st.recursive(
                    st.none() | st.booleans() | st.integers(-2, 2**64 - 1) | st.text(max_size=5),
                    lambda inner: (
                        st.lists(inner, max_size=3)
                        | st.dictionaries(
                            st.sampled_from(
                                [
                                    "fields",
                                    "limit",
                                    "height",
                                    "name_hash",
                                    "type",
                                    "poll_block_hash",
                                    "active_only",
                                ]
                            ),
                            inner,
                            max_size=4,
                        )
                    ),
                    max_leaves=6,
                ),
            },
        ).map(orjson.dumps)
    )
    def test_any_request_has_an_answer(self, body: bytes) -> None:
        reply = FUZZED.answer(body)
        assert reply["jsonrpc"] == "2.0"
        assert ("result" in reply) != ("error" in reply)
        orjson.dumps(reply)


FUZZED = make_rpc(make_state(3))


@contextlib.asynccontextmanager
async def served(state: RegistryState) -> AsyncIterator[tuple[str, str]]:
    """Serve a registry over http and https; yield both base addresses."""
    registry = RegistryApplication(state, clock=Clock(), trace=Trace())
    runners = []
    urls = []
    for scheme, tls in (("http", None), ("https", self_signed_context())):
        listener = bind_socket("127.0.0.1")
        runner = web.AppRunner(registry.application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, listener, ssl_context=tls).start()
        runners.append(runner)
        urls.append(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
    try:
        yield urls[0], urls[1]
    finally:
        for runner in runners:
            await runner.cleanup()


def over_sockets(check: Callable[[aiohttp.ClientSession, str, str], Awaitable[None]]) -> None:
    """Run a check against a registry that is served over http and https."""

    async def run() -> None:
        async with served(make_state()) as (http, https), aiohttp.ClientSession() as session:
            async with asyncio.timeout(10):
                await check(session, http, https)

    asyncio.run(run())


NO_VERIFICATION = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
NO_VERIFICATION.check_hostname = False
NO_VERIFICATION.verify_mode = ssl.CERT_NONE


class TestOverSockets:
    @pytest.mark.parametrize(
        "content_type", ["application/json", "text/plain;charset=UTF-8", None, "image/png"]
    )
    def test_both_transports_take_any_content_type(self, content_type: str | None) -> None:
        async def check(session: aiohttp.ClientSession, http: str, https: str) -> None:
            body = b'{"method":"get_n_service_nodes","params":{"fields":["public_ip","storage_port"]}}'
            headers = {"Content-Type": content_type} if content_type else {}
            for base in (http, https):
                async with session.post(
                    *(f"{base}/json_rpc",),
                    data=body,
                    headers=headers,
                    skip_auto_headers=() if content_type else ("Content-Type",),
                    ssl=NO_VERIFICATION,
                ) as reply:
                    assert reply.status == 200
                    # Desktop compares the whole header (network §3.1).
                    assert reply.headers["Content-Type"] == "application/json"
                    assert "Server" not in reply.headers
                    data = orjson.loads(await reply.read())
                assert data["id"] is None
                assert data["result"]["service_node_states"][0] == {
                    "public_ip": "127.0.1.1",
                    "storage_port": 22021,
                }

        over_sockets(check)

    def test_the_older_form_and_unknown_paths(self) -> None:
        async def check(session: aiohttp.ClientSession, http: str, https: str) -> None:
            for method in ("GET", "POST"):
                async with session.request(method, f"{http}/get_info") as reply:
                    assert reply.headers["Content-Type"] == "application/json"
                    assert orjson.loads(await reply.read())["height"] == 1001
            async with session.get(f"{https}/get_height", ssl=NO_VERIFICATION) as reply:
                assert orjson.loads(await reply.read())["height"] == 1001
            for method, path in (
                ("GET", "/"),
                ("GET", "/json_rpc"),
                ("POST", "/get_blocks"),
                ("PUT", "/get_info"),
            ):
                async with session.request(method, http + path) as reply:
                    assert (reply.status, await reply.text()) == (404, "Not Found\n")
                    assert reply.headers["Content-Type"] == "text/plain"

        over_sockets(check)

    def test_errors_come_with_status_200(self) -> None:
        async def check(session: aiohttp.ClientSession, http: str, https: str) -> None:
            for body, code in ((b"{", -32700), (b"[]", -32600), (b'{"method":"x"}', -32601)):
                async with session.post(f"{http}/json_rpc", data=body) as reply:
                    assert reply.status == 200
                    assert orjson.loads(await reply.read())["error"]["code"] == code

        over_sockets(check)

    def test_a_big_swarm_id_stays_an_exact_number(self) -> None:
        async def check(session: aiohttp.ClientSession, http: str, https: str) -> None:
            body = b'{"method":"get_service_nodes","params":{"fields":["swarm_id"]}}'
            async with session.post(f"{http}/json_rpc", data=body) as reply:
                assert b'"swarm_id":9223372036854775807' in await reply.read()

        over_sockets(check)
