"""One handle for a network, in this process or attached to: what suites and commands hold."""

import http.client
import json
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from session_testnet.control.commands import ControlError, execute
from session_testnet.control.host import HostedNetwork
from session_testnet.control.state_file import read_state
from session_testnet.loop_thread import LoopThread
from session_testnet.network_options import NetworkOptions
from session_testnet.topology import Topology

COMMAND_DEADLINE_S = 30.0
START_DEADLINE_S = 60.0


class NetworkHandle(ABC):
    """Act on a running network with blocking calls.

    Every call ends in one control command; errors are
    :class:`~session_testnet.control.commands.ControlError`.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        """Take the network's state file as a mapping."""
        self.state = state
        self.clock = ClockHandle(self)
        self.faults = FaultsHandle(self)
        self.trace = TraceHandle(self)

    @abstractmethod
    def command(self, name: str, **params: Any) -> Any:
        """Carry out a control command and return its result."""

    @abstractmethod
    def close(self) -> None:
        """End what this handle owns: a network of its own, or only the connection to somebody else's."""

    @property
    def nodes(self) -> list["NodeHandle"]:
        """Return a handle for each storage node, in the network's order."""
        return [NodeHandle(self, node) for node in self.state["nodes"]]

    def node(self, name: str) -> "NodeHandle":
        """Return the handle of one node; raise ControlError when there is none of that name."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise ControlError(f"there is no node {name!r}", f"the nodes are: {names}")

    def swarm(self, account_id: str) -> list["NodeHandle"]:
        """Return the nodes that keep an account's messages."""
        return [self.node(name) for name in self.command("swarm", account_id=account_id)]

    def logs(self, node: str | None = None, tail: int = 200) -> list[str]:
        """Return the last log lines of a service, or of all."""
        lines: list[str] = self.command("logs", node=node, tail=tail)
        return lines

    def storage_rpc(self, node: str, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a node as a client would; return ``{"status", "body"}``."""
        answer: dict[str, Any] = self.command("storage.rpc", node=node, method=method, params=dict(params))
        return answer

    def stored_messages(self, node: str, account_id: str, namespace: int = 0) -> list[dict[str, Any]]:
        """Return what a node holds of a mailbox, oldest first."""
        held: list[dict[str, Any]] = self.command(
            "storage.messages", node=node, account_id=account_id, namespace=namespace
        )
        return held

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class NodeHandle:
    """Act on one storage node."""

    def __init__(self, network: NetworkHandle, state: Mapping[str, Any]) -> None:
        """Take the network and the node's entry in the state file."""
        self._network = network
        self.name: str = state["name"]
        self.pubkey_ed25519: str = state["pubkey_ed25519"]
        self.pubkey_x25519: str = state["pubkey_x25519"]
        self.swarm_id: str = state["swarm_id"]
        self.url = f"https://{state['ip']}:{state['https_port']}"

    def status(self) -> dict[str, Any]:
        """Return the node's entry with its ``status``: running, paused or stopped."""
        status: dict[str, Any] = self._network.command("node", node=self.name)
        return status

    def stop(self) -> None:
        """End the node; what it stored stays."""
        self._act("stop")

    def start(self) -> None:
        """Start the node again at its old address."""
        self._act("start")

    def restart(self) -> None:
        """Stop and start the node."""
        self._act("restart")

    def pause(self) -> None:
        """Freeze the node: it accepts connections and answers nothing."""
        self._act("pause")

    def resume(self) -> None:
        """Let a paused node answer again."""
        self._act("resume")

    def _act(self, verb: str) -> None:
        self._network.command("node.act", node=self.name, verb=verb)


class ClockHandle:
    """Read and move the network's clock: lifetimes are tested by moving it, not by waiting."""

    def __init__(self, network: NetworkHandle) -> None:
        """Act through ``network``."""
        self._network = network

    @property
    def offset_ms(self) -> int:
        """Return how far the network's clock is ahead of the system's, in milliseconds."""
        return int(self._network.command("clock")["offset_ms"])

    def now_ms(self) -> int:
        """Return the network's time, in milliseconds since 1970."""
        return int(self._network.command("clock")["now_ms"])

    def move(self, ms: int) -> None:
        """Move the network's clock, forwards or backwards."""
        self._network.command("clock.move", ms=ms)

    def skew(self, node: str, ms: int) -> None:
        """Set how far one node's clock is ahead of the network's."""
        self._network.command("clock.skew", node=node, ms=ms)


class FaultsHandle:
    """Add, list and clear faults."""

    def __init__(self, network: NetworkHandle) -> None:
        """Act through ``network``."""
        self._network = network

    def add(self, rule: Mapping[str, Any]) -> str:
        """Add a fault rule; return its id."""
        return str(self._network.command("faults.add", rule=dict(rule))["id"])

    def list(self) -> "list[dict[str, Any]]":
        """Return all rules with what is left of them."""
        rules: list[dict[str, Any]] = self._network.command("faults.list")
        return rules

    def clear(self, rule_id: str | None = None) -> None:
        """Remove one rule, or all."""
        self._network.command("faults.clear", id=rule_id)


class TraceHandle:
    """Read what nodes and services saw."""

    def __init__(self, network: NetworkHandle) -> None:
        """Act through ``network``."""
        self._network = network

    def last_seq(self) -> int:
        """Return the number of the newest event: events after it are news."""
        return int(self._network.command("trace.last"))

    def events(self, since: int = 0, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the events after number ``since``, oldest first, of one kind or of all."""
        events: list[dict[str, Any]] = self._network.command("trace", since=since, kind=kind)
        return events


class LocalNetworkHandle(NetworkHandle):
    """Own a network that runs in a thread of this process; made with :meth:`open`."""

    def __init__(self, thread: LoopThread, hosted: HostedNetwork) -> None:
        """Take the running parts; :meth:`open` makes them."""
        super().__init__(hosted.state())
        self._thread = thread
        self._hosted = hosted

    @classmethod
    def open(cls, topology: Topology, options: NetworkOptions | None = None) -> "LocalNetworkHandle":
        """Start a network and return when it is ready."""
        thread = LoopThread(f"testnet {topology.name}")
        try:
            hosted = thread.run(
                HostedNetwork.start(topology, options),
                timeout_s=START_DEADLINE_S,
                waiting_for="the network to be ready",
            )
        except BaseException:
            thread.close()
            raise
        return cls(thread, hosted)

    def command(self, name: str, **params: Any) -> Any:
        """Carry out a control command on the network's own loop."""
        return self._thread.run(
            execute(self._hosted.network, name, params),
            timeout_s=COMMAND_DEADLINE_S,
            waiting_for=f"command {name}",
        )

    def wait_for_shutdown_request(self, timeout_s: float) -> bool:
        """Wait until somebody asks for the network's end; tell whether that happened."""
        return self._thread.run(
            _wait_for(self._hosted, timeout_s), timeout_s=timeout_s + 5, waiting_for="a request to shut down"
        )

    def close(self) -> None:
        """End the network and its thread; safe to call twice."""
        if self._thread.loop.is_closed():
            return
        self._thread.run(
            self._hosted.aclose(), timeout_s=COMMAND_DEADLINE_S, waiting_for="the network to end"
        )
        self._thread.close()


async def _wait_for(hosted: HostedNetwork, timeout_s: float) -> bool:
    import asyncio

    try:
        await asyncio.wait_for(hosted.control.shutdown_requested.wait(), timeout_s)
    except TimeoutError:
        return False
    return True


class AttachedNetworkHandle(NetworkHandle):
    """Act on somebody else's network over its control interface."""

    def __init__(self, state: dict[str, Any]) -> None:
        """Take the network's state file as a mapping; :meth:`from_state_file` reads one."""
        super().__init__(state)
        parts = urllib.parse.urlsplit(state["control"]["url"])
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def from_state_file(cls, path: Path) -> "AttachedNetworkHandle":
        """Attach to the network that a state file describes."""
        return cls(read_state(path))

    def command(self, name: str, **params: Any) -> Any:
        """Carry out a control command over HTTP."""
        body = json.dumps({"command": name, "params": params}).encode()
        headers = {
            "Authorization": f"Bearer {self.state['control']['token']}",
            "Content-Type": "application/json",
        }
        try:
            answer = self._post(body, headers)
        except (OSError, http.client.HTTPException) as error:
            url = self.state["control"]["url"]
            raise ControlError(
                f"the network {self.state['name']!r} does not answer at {url}: {error}",
                "it may have ended; see: session-harness status",
            ) from error
        if "error" in answer:
            raise ControlError(answer["error"]["message"], answer["error"].get("hint", ""))
        return answer["result"]

    def request_shutdown(self) -> None:
        """Ask the network to end itself."""
        self.command("shutdown")

    def close(self) -> None:
        """Close the connection; the network goes on."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        for attempt in (1, 2):
            fresh = self._connection is None
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    self._host, self._port, timeout=COMMAND_DEADLINE_S
                )
            try:
                self._connection.request("POST", "/command", body, dict(headers))
                answer: dict[str, Any] = json.loads(self._connection.getresponse().read())
                return answer
            except (http.client.RemoteDisconnected, ConnectionError):
                # A kept connection may have been closed meanwhile: one new try, on a new connection.
                self.close()
                if fresh or attempt == 2:
                    raise
        raise AssertionError("unreachable")
