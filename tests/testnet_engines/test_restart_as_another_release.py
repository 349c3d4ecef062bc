"""A node that is restarted as another release of the storage server."""

from collections.abc import Callable
from typing import Any

import pytest

from session_testnet import LocalNetworkHandle
from session_testnet.control.errors import ControlError


def version_of(network: LocalNetworkHandle, node: str) -> list[int]:
    version: list[int] = network.storage_rpc(node, "info", {})["body"]["version"]
    return version


def test_it_behaves_so_says_so_and_keeps_what_it_had(
    network: LocalNetworkHandle, store: Callable[..., dict[str, Any]], held: Callable[..., list[str]]
) -> None:
    store(network, "node-01", "before")
    network.node("node-02").restart(version="2.8.0")
    assert version_of(network, "node-02") == [2, 8, 0]
    assert version_of(network, "node-01") == [2, 11, 3]
    assert held(network, "node-02") == ["before"]
    asked = {"endpoint": "get_service_nodes", "params": {"fields": {"storage_server_version": True}}}
    answer = network.storage_rpc("node-01", "oxend_request", asked)["body"]["result"]["service_node_states"]
    assert sorted(state["storage_server_version"] for state in answer) == [[2, 8, 0], [2, 11, 3], [2, 11, 3]]
    network.node("node-02").restart()
    assert version_of(network, "node-02") == [2, 8, 0]


def test_what_is_no_release_leaves_the_node_as_it_is(network: LocalNetworkHandle) -> None:
    for wrong in ("new", "2.8", "2.8.999"):
        with pytest.raises(ControlError, match="not a release of the storage server"):
            network.node("node-02").restart(version=wrong)
    with pytest.raises(ControlError, match=r"cannot (image|change)|there is no image"):
        network.node("node-02").restart(image="no/such:image")
    assert version_of(network, "node-02") == [2, 11, 3]
