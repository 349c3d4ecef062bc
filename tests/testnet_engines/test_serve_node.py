"""A node that listens for its network: who is let in, and when it ends."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from session_testnet.channel import Channel
from session_testnet.endpoints import bind_socket
from session_testnet.engines.base import EngineError
from session_testnet.engines.remote import orders
from session_testnet.engines.remote.greeting import greet
from session_testnet.engines.remote.serve_node import NodeDoor
from session_testnet.topology import NodeSpec

DEADLINE_S = 30
TOKEN = "a token of the test"


def run(
    scenario: Callable[[int, "asyncio.Task[bool]"], Coroutine[Any, Any, None]], lonely_s: float = 30
) -> bool:
    """Run a scenario against a door, given its port; return how the door ended."""

    async def both() -> bool:
        listener = bind_socket("127.0.0.1")
        serving = asyncio.create_task(NodeDoor(TOKEN, lonely_s).run(listener))
        await scenario(listener.getsockname()[1], serving)
        return await asyncio.wait_for(serving, DEADLINE_S)

    return asyncio.run(both())


async def refuse(name: str, payload: Any) -> Any:
    raise AssertionError(f"the network was asked for {name}")


async def enter(port: int) -> Channel:
    reader, writer = await greet("n", "127.0.0.1", port, TOKEN, deadline_s=DEADLINE_S)
    return Channel("the node", reader, writer, refuse)


def test_who_knows_the_token_gives_orders_and_the_node_ends_with_the_channel() -> None:
    async def scenario(port: int, serving: "asyncio.Task[bool]") -> None:
        channel = await enter(port)
        bind = orders.Bind(NodeSpec("n", bytes(32)), "127.0.0.1", omq=False)
        bound = orders.read(await channel.call("bind", bind, timeout_s=DEADLINE_S), orders.Bound)
        assert bound.port
        assert bound.omq_port is None
        assert not serving.done()
        await channel.close()

    assert run(scenario)


@pytest.mark.parametrize("greeting", [b"wrong\n", b"\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * 100_000, b""])
def test_who_does_not_know_the_token_is_sent_away(greeting: bytes) -> None:
    async def scenario(port: int, serving: "asyncio.Task[bool]") -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(greeting)
        if not greeting:
            writer.write_eof()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
        writer.close()
        assert not serving.done()
        # The place is still free for the network itself.
        await (await enter(port)).close()

    assert run(scenario)


def test_a_second_network_is_not_let_in() -> None:
    async def scenario(port: int, serving: "asyncio.Task[bool]") -> None:
        channel = await enter(port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{TOKEN}\n".encode())
        assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
        writer.close()
        assert not channel.is_closed
        await channel.close()

    assert run(scenario)


def test_a_node_that_nobody_comes_for_ends() -> None:
    async def scenario(port: int, serving: "asyncio.Task[bool]") -> None:
        await asyncio.wait([serving], timeout=DEADLINE_S)

    assert not run(scenario, lonely_s=0.01)


def test_a_port_where_no_node_listens_is_named_with_what_was_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with pytest.raises(EngineError, match=f"127.0.0.1:{port} did not let the network in") as caught:
        asyncio.run(greet("node-01", "127.0.0.1", port, TOKEN, deadline_s=0.1))
    assert "refused" in caught.value.hint.lower() or "connect" in caught.value.hint.lower()


def test_the_process_says_that_it_is_ready_and_ends_at_sigterm() -> None:
    environment = {
        **os.environ,
        "SESSION_TESTNET_TOKEN": TOKEN,
        "SESSION_TESTNET_NODE": "node-07",
        "SESSION_TESTNET_CONTROL": "127.0.0.1:0",
    }
    command = [sys.executable, "-m", "session_testnet.engines.remote.serve_node"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["ready"] is True
        assert (ready["role"], ready["name"]) == ("node", "node-07")
        assert ready["listen"][0].startswith("127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SESSION_TESTNET_TOKEN": ""}, "token is empty"),
        ({"SESSION_TESTNET_CONTROL": "127.0.0.1:x"}, "error:"),
    ],
)
def test_an_environment_that_does_not_do_is_a_clear_error(changes: dict[str, str], said: str) -> None:
    environment = {**os.environ, "SESSION_TESTNET_TOKEN": TOKEN, **changes}
    command = [sys.executable, "-m", "session_testnet.engines.remote.serve_node"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 64
    assert said in done.stderr
    assert "Traceback" not in done.stderr
