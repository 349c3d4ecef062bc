"""A small network that lives as long as the tests of this folder."""

from collections.abc import Iterator

import pytest

import session_testnet
from session_testnet import NetworkHandle, Topology


@pytest.fixture(scope="session")
def small_network() -> Iterator[NetworkHandle]:
    with session_testnet.open_local(Topology.default(7, name="small", seed="tests")) as network:
        yield network
