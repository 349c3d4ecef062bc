"""Give tests a local Session network: the fixture ``session_testnet``.

The network starts with the first test that asks for it and ends with the session; a run without such a test
pays nothing.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from session_testnet import NetworkHandle


@pytest.fixture(scope="session")
def session_testnet() -> "Iterator[NetworkHandle]":
    """Yield the handle of a network of 14 service nodes that lives as long as the test session."""
    import session_testnet

    with session_testnet.open_local() as network:
        yield network
