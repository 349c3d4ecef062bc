"""Commands about one node that come at the same time: each begins when the one before it has ended."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from session_testnet import LocalNetworkHandle


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_node_is_started_while_it_is_being_ended(network: LocalNetworkHandle, ending: str) -> None:
    node = network.node("node-02")
    for _ in range(5):
        refusals: list[Exception] = []
        threads = [_thread(act, refusals) for act in (getattr(node, ending), node.start)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert refusals == []
        node.start()
        assert node.status()["status"] == "running"


def _thread(act: Callable[[], Any], refusals: list[Exception]) -> threading.Thread:
    def run() -> None:
        try:
            act()
        except Exception as refusal:  # noqa: BLE001 - the test tells of it
            refusals.append(refusal)

    return threading.Thread(target=run)
