"""Waiting for a network: the stage that is not reached is named, with what was seen last."""

import asyncio
import socket

import pytest

from session_testnet.endpoints import Endpoint
from session_testnet.logs import LogBook
from session_testnet.readiness import NotReadyError, wait_until_ready


def test_a_registry_that_never_answers_is_named() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        logs = LogBook()
        logs.write("registry", "error", "I am not well")
        with pytest.raises(NotReadyError, match="waited for the registry to list the nodes") as refused:
            asyncio.run(
                wait_until_ready(
                    f"http://127.0.0.1:{port}",
                    nodes=[Endpoint("127.0.0.1", port)],
                    deadline_s=0.2,
                    logs=logs,
                    seed="x",
                )
            )
    assert "I am not well" in str(refused.value)
    assert refused.value.stage == "the registry to list the nodes"
