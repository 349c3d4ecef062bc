"""One handle for a network, in this process or attached to: what suites and commands hold."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from session_testnet.control.errors import ControlError


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
        self.push = PushHandle(self)
        self.rooms = RoomsHandle(self)

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
        for attempt in (1, 2):
            for node in self.nodes:
                if node.name == name:
                    return node
            if attempt == 1:
                # It may have joined after this handle looked last.
                self.refresh()
        names = ", ".join(node.name for node in self.nodes)
        raise ControlError(f"there is no node {name!r}", f"the nodes are: {names}")

    def add_node(self, name: str | None = None, *, swarm_id: str | None = None) -> "NodeHandle":
        """Let a new node join and return its handle; it has its swarm's messages then.

        ``swarm_id`` (hex) chooses its swarm where swarms are explicit, by default the smallest.
        """
        added = self.command("node.add", node=name, swarm_id=swarm_id)
        self.refresh()
        return self.node(added["name"])

    def remove_node(self, name: str) -> None:
        """Let a node leave for good; a running one hands over what others have not got from it."""
        self.command("node.remove", node=name)
        self.refresh()

    def refresh(self) -> None:
        """Read the state of the network again: nodes may have joined or left, or changed their swarms."""
        state: dict[str, Any] = self.command("state")
        for node in state["nodes"]:
            node["control_url"] = f"{self.state['control']['url']}/nodes/{node['name']}"
        self.state = {**self.state, **state}

    def settle(self) -> int:
        """Deliver what running nodes owe each other; return how many of them still owe another something."""
        return int(self.command("swarm.settle")["owing"])

    def partition(self, groups: Sequence[Sequence[str]]) -> None:
        """Let nodes of different groups reach each other no more; no groups at all heal the network.

        A node that is in no group reaches all others, and clients reach all nodes.
        """
        self.command("network.partition", groups=[list(group) for group in groups])

    def advance_chain(self, blocks: int = 1) -> int:
        """Add empty blocks to the registry's chain; return its height."""
        height: int = self.command("registry.advance", blocks=blocks)["height"]
        return height

    def save_snapshot(self, path: Path) -> int:
        """Write a snapshot of the network, none of whose nodes runs; return its size in bytes."""
        return int(self.command("snapshot.save", file=str(path.absolute()))["bytes"])

    def purge(self) -> int:
        """Delete what has expired on all running nodes at once; return how many messages that were."""
        return int(self.command("storage.purge")["expired"])

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

    def kill(self) -> None:
        """End the node at once, in the middle of whatever it does."""
        self._act("kill")

    def start(self) -> None:
        """Start the node again at its old address."""
        self._act("start")

    def restart(self, *, image: str | None = None, version: str | None = None) -> None:
        """Stop and start the node, in another image or as another release (like "2.8.0") where given."""
        self._network.command("node.restart", node=self.name, image=image, version=version)

    def exec(self, *command: str, deadline_s: float = 20.0) -> tuple[int, str]:
        """Run a command in the node's container; return its exit code and its output."""
        result = self._network.command("node.exec", node=self.name, argv=list(command), deadline_s=deadline_s)
        return result["exit_code"], result["output"]

    def decommission(self) -> None:
        """Take the node out of its swarm; it goes on relaying."""
        self._network.command("node.decommission", node=self.name)
        self._network.refresh()

    def recommission(self) -> None:
        """Take the decommissioned node into a swarm again."""
        self._network.command("node.recommission", node=self.name)
        self._network.refresh()

    def pause(self) -> None:
        """Freeze the node: it accepts connections and answers nothing."""
        self._act("pause")

    def resume(self) -> None:
        """Let a paused node answer again."""
        self._act("resume")

    def knobs(self) -> dict[str, Any]:
        """Return how the node's knobs are turned."""
        return self.set_knobs()

    def set_knobs(self, **changes: Any) -> dict[str, Any]:
        """Turn some of the node's knobs (:class:`~session_testnet.knobs.NodeKnobs`) and return all of them.

        None turns a knob back. ``purge=True``, or with a list of hashes, loses messages on this node alone;
        ``purged`` of the result says how many.
        """
        knobs: dict[str, Any] = self._network.command("node.knobs", node=self.name, knobs=changes)
        return knobs

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

    def schedule(self, toml: str) -> int:
        """Begin to carry out a schedule of faults, given as TOML; return how many steps it has."""
        steps: int = self._network.command("faults.schedule", toml=toml)["steps"]
        return steps

    def list(self) -> "list[dict[str, Any]]":
        """Return all rules with what is left of them."""
        rules: list[dict[str, Any]] = self._network.command("faults.list")
        return rules

    def clear(self, rule_id: str | None = None) -> None:
        """Remove one rule, or all."""
        self._network.command("faults.clear", id=rule_id)


class RoomsHandle:
    """Make and delete rooms of the community server, and say who moderates or is banned there."""

    def __init__(self, network: NetworkHandle) -> None:
        """Act through ``network``."""
        self._network = network

    def create(
        self, token: str, *, title: str | None = None, description: str | None = None
    ) -> dict[str, Any]:
        """Make a room and return it with its ``join_url``."""
        room: dict[str, Any] = self._network.command(
            "room.create", token=token, title=title, description=description
        )
        self._network.refresh()
        return room

    def list(self) -> "list[dict[str, Any]]":
        """Return all rooms with their moderators."""
        rooms: list[dict[str, Any]] = self._network.command("room.list")
        return rooms

    def delete(self, token: str) -> None:
        """Delete a room with all that is in it."""
        self._network.command("room.delete", token=token)
        self._network.refresh()

    def promote(
        self, user_id: str, role: str, *, room: str | None = None, visible: bool | None = None
    ) -> dict[str, Any]:
        """Make somebody an ``admin`` or a ``moderator``, or (``none``) neither; without a room everywhere."""
        promoted: dict[str, Any] = self._network.command(
            "room.promote", id=user_id, role=role, room=room, visible=visible
        )
        return promoted

    def ban(self, user_id: str, *, room: str | None = None, timeout_ms: int = 0) -> dict[str, Any]:
        """Ban somebody from a room, or from the whole server; 0 means for good."""
        banned: dict[str, Any] = self._network.command(
            "room.ban", id=user_id, room=room, timeout_ms=timeout_ms
        )
        return banned

    def unban(self, user_id: str, *, room: str | None = None) -> dict[str, Any]:
        """End a ban from a room, or from the whole server."""
        ended: dict[str, Any] = self._network.command("room.ban", id=user_id, room=room, banned=False)
        return ended


class TraceHandle:
    """Read what nodes and services saw."""

    def __init__(self, network: NetworkHandle) -> None:
        """Act through ``network``."""
        self._network = network

    def paths(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the paths that onion requests took (:class:`~session_testnet.onion_paths.OnionPath`)."""
        paths: list[dict[str, Any]] = self._network.command("trace.paths", since=since)
        return paths

    def last_seq(self) -> int:
        """Return the number of the newest event: events after it are news."""
        return int(self._network.command("trace.last"))

    def events(self, since: int = 0, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the events after number ``since``, oldest first, of one kind or of all."""
        events: list[dict[str, Any]] = self._network.command("trace", since=since, kind=kind)
        return events


class PushHandle:
    """Read what the push server has handed to push services."""

    def __init__(self, network: NetworkHandle) -> None:
        """Act through ``network``."""
        self._network = network

    def delivered(self) -> list[dict[str, Any]]:
        """Return the notifications as push services saw them, oldest first.

        Each is ``{"t_ms", "service", "service_info", "notification"}``; the newest 10,000 are kept.
        """
        notifications: list[dict[str, Any]] = self._network.command("push.sink")
        return notifications

    def clear(self) -> int:
        """Forget what has been delivered; return how many notifications that were."""
        return int(self._network.command("push.clear")["cleared"])

    def subscriptions(self) -> list[dict[str, Any]]:
        """Return who is notified of what, until when."""
        subscriptions: list[dict[str, Any]] = self._network.command("push.subscriptions")
        return subscriptions
