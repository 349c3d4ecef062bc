"""Figures for Prometheus, read back with its own parser."""

import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

import session_testnet
from session_testnet import NetworkHandle, Topology


def figures(network: NetworkHandle) -> dict[tuple[str, ...], float]:
    """Return all samples by name and the values of their labels, these in the order of their names."""
    control: dict[str, Any] = network.state["control"]
    asked = urllib.request.Request(  # noqa: S310 - the network's own
        f"{control['url']}/metrics", headers={"Authorization": f"Bearer {control['token']}"}
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = answer.read().decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_figures_count_requests_and_tell_how_the_network_stands() -> None:
    with session_testnet.open_local(Topology.default(3)) as network:
        before = figures(network)
        for method in ("info", "info", "no_such_method"):
            network.storage_rpc("node-02", method, {})
        network.faults.add({"action": "status", "status": 503, "node": "node-01"})
        network.storage_rpc("node-01", "info", {})
        network.node("node-03").pause()
        network.clock.move(90_000)
        after = figures(network)
    requests = "session_testnet_storage_requests_total"
    assert after[requests, "info", "node-02", "200", "local"] == 2
    assert after[requests, "unknown", "node-02", "400", "local"] == 1
    assert after[requests, "info", "node-01", "503", "local"] == 1
    assert after["session_testnet_fault_uses_total", "status", "node-01"] == 1
    assert [after["session_testnet_node_up", f"node-0{n}"] for n in (1, 2, 3)] == [1, 1, 0]
    assert before["session_testnet_node_up", "node-03"] == 1
    assert after["session_testnet_clock_offset_seconds",] == 90
    assert after["session_testnet_fault_rules",] == 1
    # A node that is not reachable any more is news for the chain.
    assert after["session_testnet_height",] == before["session_testnet_height",] + 1
    assert sum(value for key, value in after.items() if key[0] == "session_testnet_swarm_members") == 3
