"""Each difference between the releases that nodes can imitate (storage-rpc §15)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from session_protocol import onion
from session_protocol.accounts import Account
from session_protocol.namespaces import TESTING
from session_testnet.services.storage import StorageSettings
from session_testnet.services.storage.version_profile import (
    NEWEST_VERSION,
    OLDER_VERSION,
    profile_of,
)
from session_testnet.topology import load_topology

Nodes = Any
DAY_MS = 86_400_000
OLD, NEW = StorageSettings(version=OLDER_VERSION), StorageSettings(version=NEWEST_VERSION)
BOTH = pytest.mark.parametrize(
    ("settings", "new"), [pytest.param(OLD, False, id="2.8.0"), pytest.param(NEW, True, id="2.11.3")]
)


def test_which_release_is_which() -> None:
    assert profile_of((2, 8, 0)) == profile_of((2, 9, 9))
    assert profile_of((2, 10, 0)) == profile_of((2, 11, 3)) == profile_of((3, 0, 0))
    assert profile_of((2, 8, 0)) != profile_of((2, 11, 3))


def test_a_topology_file_names_the_release(tmp_path: Path) -> None:
    file = tmp_path / "network.toml"
    file.write_text("storage_version = [2, 8, 0]\n")
    assert load_topology(file).storage_version == (2, 8, 0)


@BOTH
def test_the_version_that_is_told(make_nodes: Any, settings: StorageSettings, new: bool) -> None:
    nodes = make_nodes(1, settings=settings)
    answer = nodes.ask("info", {})
    assert answer.body["version"] == ([2, 11, 3] if new else [2, 8, 0])
    text = "2.11.3" if new else "2.8.0"
    assert answer.headers["Server"] == f"Oxen Storage Server/{text}"
    assert nodes.run(nodes.request("GET", "/get_stats/v1")).body == {"version": text}
    unknown = nodes.run(nodes.request("GET", "/x"))
    assert unknown.body == ("GET /x Not Found" if new else "get /x Not Found")


@pytest.mark.parametrize(
    ("settings", "hardfork", "reason"),
    [
        (OLD, (19, 2), "not yet on hardfork 19.3"),
        (OLD, (19, 3), None),
        (NEW, (19, 5), "not yet on hardfork 19.6"),
        (NEW, (19, 6), None),
    ],
)
def test_the_hard_fork_that_serving_needs(
    make_nodes: Any, settings: StorageSettings, hardfork: tuple[int, int], reason: str | None
) -> None:
    answer = make_nodes(1, settings=settings, hardfork=hardfork).ask("info", {})
    if reason is None:
        assert answer.status == 200
    else:
        assert (answer.status, answer.body) == (503, f"Service node is not ready: {reason}\n")


@BOTH
def test_a_node_in_no_swarm(make_nodes: Any, settings: StorageSettings, new: bool) -> None:
    answer = make_nodes(swarms=[2**64 - 1, 5], settings=settings).ask("info", {})
    if new:
        assert answer.status == 200
    else:
        assert (answer.status, answer.body) == (503, "Service node is not ready: not in any swarm\n")


@BOTH
def test_all_members_failed(make_nodes: Any, alice: Account, settings: StorageSettings, new: bool) -> None:
    nodes = make_nodes(2, settings=settings)
    for node in nodes.nodes:
        node.set_knobs(node.knobs.changed({"disk_full": True}))
    answer = nodes.store(alice.account_id, "AAAA")
    assert answer.status == (500 if new else 200)
    assert all(entry["query_failure"] for entry in answer.body["swarm"].values())


@BOTH
def test_the_answer_of_another_swarm(
    make_nodes: Any, alice: Account, settings: StorageSettings, new: bool
) -> None:
    answer = make_nodes(swarms=[2**63, 0], settings=settings).store(alice.account_id, "AAAA")
    assert answer.status == 421
    assert set(answer.body) == {"snodes", "swarm", "t", "hf"} | ({"pubkey"} if new else set())


@BOTH
def test_without_any_swarm(make_nodes: Any, alice: Account, settings: StorageSettings, new: bool) -> None:
    nodes = make_nodes(swarms=[2**64 - 1], settings=settings)
    if not new:
        # An old node in no swarm is not ready: ask what it would say of the account.
        answer = nodes.nodes[0].swarm_answer(alice.account_id)
        assert (answer["snodes"], answer["swarm"]) == ([], "ffffffffffffffff")
        return
    answer = nodes.store(alice.account_id, "AAAA")
    assert (answer.status, answer.body) == (500, "No swarms known!")
    listed = nodes.ask("get_swarm", {"pubkey": alice.account_id}).body
    assert (listed["snodes"], listed["swarm"]) == ([], "ffffffffffffffff")


@BOTH
def test_nodes_without_known_address(
    make_nodes: Any, alice: Account, settings: StorageSettings, new: bool
) -> None:
    nodes = make_nodes(3, settings=settings)
    nodes.nodes[0].update_network(nodes.network([7, 7, 7], lost=2))
    nodes.peers.unregister(nodes.keys[2])
    snodes = nodes.ask("get_swarm", {"pubkey": alice.account_id}).body["snodes"]
    assert len(snodes) == (2 if new else 3)
    swarm = nodes.store(alice.account_id, "AAAA").body["swarm"]
    if new:
        assert nodes.keys[2] not in swarm
    else:
        assert swarm[nodes.keys[2]] == {"failed": True, "timeout": True}
    identity = nodes.identities[2]
    guard = nodes.identities[0]
    built = onion.build(
        [onion.Hop(guard.ed25519_pk, guard.x25519_pk)],
        onion.NodeDestination(identity.ed25519_pk, identity.x25519_pk),
        b"{}",
    )
    answer = nodes.post("/onion_req/v2", built.body)
    lost = f"Next node is currently unreachable: {nodes.keys[2]}"
    assert (answer.status, answer.body) == ((502, lost) if new else (504, "Request time out"))


@BOTH
def test_reverse_direction(make_nodes: Any, alice: Account, settings: StorageSettings, new: bool) -> None:
    nodes = make_nodes(1, settings=settings)
    hashes = [nodes.store(alice.account_id, data).body["hash"] for data in ("AAAA", "BBBB", "CCCC")]
    listed = nodes.retrieve(alice, reverse_direction=True).body["messages"]
    assert [message["hash"] for message in listed] == (hashes[::-1] if new else hashes)


@BOTH
def test_trivial_extensions(make_nodes: Any, alice: Account, settings: StorageSettings, new: bool) -> None:
    nodes = make_nodes(1, settings=settings)
    message = nodes.store(alice.account_id, "AAAA", ttl=100_000).body["hash"]

    def updated(gain_ms: int) -> list[str]:
        params = {"messages": [message], "expiry": nodes.now + 100_000 + gain_ms, "extend": True}
        entry: dict[str, list[str]] = nodes.signed(alice, "expire", params).body["swarm"][nodes.keys[0]]
        return entry["updated"]

    assert updated(999) == ([] if new else [message])
    assert updated(2_000) == [message]


@BOTH
def test_what_an_outbox_keeps(make_nodes: Any, alice: Account, settings: StorageSettings, new: bool) -> None:
    nodes = make_nodes(1, settings=settings)

    def put(data: str, timestamp: int) -> dict[str, Any]:
        params = {"namespace": -1, "data": data, "ttl": DAY_MS, "timestamp": timestamp}
        entry: dict[str, Any] = nodes.signed(alice, "store", params).body["swarm"][nodes.keys[0]]
        return entry

    put("AAAA", nodes.now)
    older = put("BBBB", nodes.now - 1)
    assert older["expiry"] == (0 if new else nodes.now - 1 + DAY_MS)
    assert older.get("already") is (True if new else None)
    held = nodes.ask("retrieve", {"pubkey": alice.account_id, "namespace": -1}).body["messages"]
    assert [message["data"] for message in held] == ["AAAA" if new else "BBBB"]


@BOTH
def test_deleting_before_in_all_namespaces(
    make_nodes: Any, alice: Account, settings: StorageSettings, new: bool
) -> None:
    nodes = make_nodes(1, settings=settings)
    params = {"namespace": "all", "before": nodes.now}
    assert nodes.signed(alice, "delete_before", params).status == 200, "nothing matches yet"
    message = nodes.store(alice.account_id, "AAAA").body["hash"]
    answer = nodes.signed(alice, "delete_before", params)
    if new:
        assert answer.body["swarm"][nodes.keys[0]]["deleted"] == {"0": [message]}
    else:
        assert (answer.status, answer.body) == (500, "request failed")


@BOTH
@pytest.mark.parametrize("method", ["revoked_subaccounts", "active_nodes_bin"])
def test_newer_methods(
    make_nodes: Any, alice: Account, settings: StorageSettings, new: bool, method: str
) -> None:
    nodes = make_nodes(1, settings=settings)
    params = {"timestamp": nodes.now, "pubkey": alice.account_id}
    if new:
        answer = (
            nodes.signed(alice, method, {"timestamp": nodes.now})
            if method == "revoked_subaccounts"
            else nodes.ask(method, params)
        )
        # The first is for groups: a Session id's own key does not verify (§10.13).
        assert answer.status == (401 if method == "revoked_subaccounts" else 200)
        return
    answer = nodes.ask(method, params)
    assert (answer.status, answer.body) == (400, f"no method {method}")
    inside = nodes.ask("batch", {"requests": [{"method": method, "params": {}}]})
    text = f'invalid request: Invalid batch subrequest: invalid method "{method}"'
    assert (inside.status, inside.body) == (400, text)


@BOTH
def test_the_namespace_for_testing(
    make_nodes: Any, alice: Account, settings: StorageSettings, new: bool
) -> None:
    nodes = make_nodes(1, settings=settings)
    params = {"namespace": TESTING, "data": "AAAA", "ttl": DAY_MS, "timestamp": nodes.now}
    stored = nodes.signed(alice, "store", params)
    bare = nodes.ask("retrieve", {"pubkey": alice.account_id, "namespace": TESTING})
    if new:
        text = f"namespace {TESTING} is reserved for testing and cannot store messages"
        assert (stored.status, stored.body) == (403, text)
        assert (bare.status, bare.body["messages"]) == (200, [])
    else:
        assert stored.status == 200
        text = "invalid request: Required field 'signature' missing"
        assert (bare.status, bare.body) == (400, text)
        assert len(nodes.retrieve(alice, namespace=TESTING).body["messages"]) == 1


@BOTH
def test_forwarded_revocations(make_nodes: Any, alice: Account, settings: StorageSettings, new: bool) -> None:
    nodes = make_nodes(2, settings=settings, skews_ms=[0, -5_000])
    params = {"timestamp": nodes.now + 60_000, "revoke": "03" + "01" * 35}
    entry = nodes.signed(alice, "revoke_subaccount", params).body["swarm"][nodes.keys[1]]
    assert ("failed" in entry) is not new
    if not new:
        assert entry["code"] == "406"


@BOTH
def test_what_a_member_missed(make_nodes: Any, alice: Account, settings: StorageSettings, new: bool) -> None:
    """New nodes try again until the member has it; old ones forward once."""
    nodes = make_nodes(2, settings=settings)
    nodes.peers.unregister(nodes.keys[1])
    nodes.store(alice.account_id, "AAAA")
    assert nodes.nodes[0].owed_to() == ([nodes.keys[1]] if new else [])


@BOTH
def test_clients_over_ipv6(make_nodes: Any, settings: StorageSettings, new: bool) -> None:
    nodes = make_nodes(1, settings=settings)

    async def ask() -> tuple[int, bytes]:
        runner = web.AppRunner(nodes.nodes[0].application(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "::1", 0).start()
            port = runner.addresses[0][1]
            body = b'{"method": "info", "params": {}}'
            async with nodes.session.post(f"http://[::1]:{port}/storage_rpc/v1", data=body) as response:
                return response.status, await response.read()
        finally:
            await runner.cleanup()
            await asyncio.sleep(0)

    try:
        status, _ = nodes.run(ask())
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    assert status == (200 if new else 400)
