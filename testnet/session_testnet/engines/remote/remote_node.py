"""One node in a process or container of its own, as the network that controls it sees it."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from session_protocol.service_nodes import NodeIdentity
from session_testnet.channel import Channel, ChannelClosed, ChannelRefusal, ChannelTimeout
from session_testnet.endpoints import NodeEndpoints
from session_testnet.engines.base import CommandResult, EngineError, Hear, NodeStatus, Surroundings
from session_testnet.engines.remote import orders
from session_testnet.engines.remote.places import Launcher, Place, Reach
from session_testnet.knobs import NodeKnobs
from session_testnet.services.registry import NetworkSnapshot
from session_testnet.services.storage import RpcResult, messages_in_file
from session_testnet.topology import NodeSpec

ORDER_S: Final = 20.0
# How long a node may take to end when it is told to, before it is made to.
STOP_S: Final = 5.0

News = Callable[[], orders.NetworkNews]


class RemoteNode:
    """A node elsewhere: every start is a new process at the old addresses."""

    def __init__(
        self, spec: NodeSpec, launcher: Launcher, surroundings: Surroundings, news: News, token: str
    ) -> None:
        """Take what starts the node, and ``news()``, which tells the network's present state."""
        self.spec = spec
        self.ed25519_hex = NodeIdentity.from_seed(spec.seed).ed25519_pk.hex()
        self._launcher = launcher
        self._surroundings = surroundings
        self._news = news
        self._token = token
        self._ports = launcher.ports(spec)
        self._reach: Reach | None = None
        self._place: Place | None = None
        self._channel: Channel | None = None
        self._frozen = False
        self._launched = False
        self._image: str | None = None
        self._version = surroundings.topology.storage_version
        self._telling = asyncio.Lock()
        self._knobs = NodeKnobs()
        self._skew_ms = 0
        self._cut = orders.Cut((), clients=False)
        self._hear: Hear | None = None

    @property
    def reach(self) -> Reach:
        """Return how the node is reached."""
        if self._reach is None:
            raise EngineError("reach", self.spec.name, "it has not been bound")
        return self._reach

    @property
    def endpoints(self) -> NodeEndpoints:
        """Return where the node is reached over HTTPS."""
        return self.reach.https

    @property
    def omq_endpoints(self) -> NodeEndpoints | None:
        """Return where the node is reached over OMQ; None when it is not."""
        return self.reach.omq

    @property
    def status(self) -> NodeStatus:
        """Return where the node stands; one that has ended by itself is stopped."""
        if self._channel is None or self._channel.is_closed or not self._launched:
            return NodeStatus.STOPPED
        return NodeStatus.PAUSED if self._frozen else NodeStatus.RUNNING

    @property
    def knobs(self) -> NodeKnobs:
        """Return the node's knobs, all but its clock and ``wrong_swarm``."""
        return self._knobs

    @property
    def skew_ms(self) -> int:
        """Return how far the node's clock is ahead of the network's."""
        return self._skew_ms

    async def bind(self) -> None:
        """Start the place of the node and let it listen, without answering yet."""
        name = self.spec.name
        place = self._place = await self._launcher.launch(self.spec, self._image)
        self._channel = Channel(f"node {name}", place.reader, place.writer, self._answer, self._notice)
        ports = self._ports
        spec = replace(self.spec, knobs=NodeKnobs())
        wanted = orders.Bind(spec, ports.host, ports.port, ports.omq_port, ports.peer_port)
        bound = orders.read(await self._order("bind", wanted), orders.Bound)
        self._ports = ports.again(bound)
        self._reach = place.reach(ports.host, bound)
        surroundings = self._surroundings
        await self._order(
            "equip",
            orders.Equip(
                directory=self._launcher.directory(self.spec),
                version=self._version,
                limits=surroundings.topology.storage,
                exits=tuple(surroundings.exits.places()),
                clock_offset_ms=surroundings.clock.offset_ms,
                token=self._token,
                faults=self._faults(),
            ),
        )
        if self._skew_ms:
            await self._order("skew", self._skew_ms)
        if self._knobs != NodeKnobs():
            await self._order("knobs", self._knobs)

    async def launch(self, snapshot: NetworkSnapshot) -> None:
        """Serve from now on; the node is told more than the snapshot: all that the registry knows."""
        del snapshot
        await self._order("cut", self._cut)
        await self._order("launch", self._news())
        self._launched, self._frozen = True, False

    async def stop(self) -> None:
        """Let the node end; one that does not in time is killed."""
        if self._frozen:
            await self._thaw()
        # From now on it is told nothing any more.
        self._launched = False
        with contextlib.suppress(EngineError):
            await self._order("stop", timeout_s=STOP_S)
        await self._leave(gently=True)

    async def kill(self) -> None:
        """End the node's process at once."""
        await self._leave(gently=False)

    async def start(self, snapshot: NetworkSnapshot) -> None:
        """Start a new process at the old addresses, with what the node had stored."""
        await self._leave(gently=False)
        try:
            await self.bind()
            await self.launch(snapshot)
            # Something may have changed since it was equipped.
            await self._tell_all()
            await self.catch_up()
        except BaseException:
            await self._leave(gently=False)
            raise

    async def change(self, *, image: str | None = None, version: tuple[int, int, int] | None = None) -> None:
        """Run in another image, or imitate another release, from the next start on."""
        if image is not None:
            await self._launcher.check_image(image)
        self._image, self._version = image or self._image, version or self._version

    async def pause(self) -> None:
        """Freeze the node in the middle of whatever it does."""
        # What it has already been told is done before it is frozen, and what comes then waits for its return.
        async with self._telling:
            if self._place is not None:
                await self.collect()
                if self.status is NodeStatus.STOPPED:
                    raise EngineError("pause", self.spec.name, "it is stopped", "start it first")
                await self._place.freeze()
                self._frozen = True

    async def resume(self, snapshot: NetworkSnapshot) -> None:
        """Let the node go on, and tell it what it has missed."""
        del snapshot
        await self._thaw()
        await self._tell_all()
        await self.catch_up()

    async def discard(self) -> None:
        """End for good."""
        if self.status is not NodeStatus.STOPPED:
            await self.stop()
        else:
            await self._leave(gently=False)

    async def update_network(self, snapshot: NetworkSnapshot) -> None:
        """Tell the node all that the registry knows."""
        del snapshot
        await self._tell("network", self._news)

    async def catch_up(self) -> None:
        """Let the node purge, and tell its swarm that it can be given what it missed."""
        await self._order("catch_up")

    async def set_clock(self, offset_ms: int) -> None:
        """Tell the node how far the network's clock is ahead of the machine's."""
        await self._tell("clock", lambda: offset_ms)

    async def tell_faults(self) -> None:
        """Tell the node all fault rules."""
        await self._tell("rules", self._faults)

    async def set_skew(self, skew_ms: int) -> None:
        """Set how far the node's clock is ahead of the network's."""
        self._skew_ms = skew_ms
        await self._tell("skew", lambda: self._skew_ms)

    async def set_knobs(self, knobs: NodeKnobs) -> None:
        """Turn the node's knobs; one that is stopped has them at its next start."""
        self._knobs = replace(knobs, clock_offset_ms=0, wrong_swarm=False)
        await self._tell("knobs", lambda: self._knobs)

    async def cut_off(self, keys: Collection[str], *, clients: bool) -> None:
        """Let the node and those with these keys reach each other no more, and all others again.

        ``clients`` True cuts off all clients too.
        """
        cut = orders.Cut(tuple(sorted(keys)), clients)
        if cut != self._cut:
            self._cut = cut
            await self._tell("cut", lambda: self._cut)

    async def settled(self, reachable: Collection[str]) -> None:
        """Let the node try once to deliver what it owes to nodes with these keys."""
        await self._order("settle", list(reachable))

    async def owed_to(self) -> Sequence[str]:
        """Return the keys of the nodes that have not got everything from this one."""
        return orders.read(await self._order("owed_to"), list[str])

    async def purge(self) -> int:
        """Let the node delete what has expired; return how many messages that were."""
        return orders.read(await self._order("purge"), int)

    async def forget(self, hashes: Collection[str] | None) -> int:
        """Let the node lose messages; return how many that were."""
        return orders.read(await self._order("forget", None if hashes is None else list(hashes)), int)

    async def stored_messages(self, account: bytes, namespace: int) -> Sequence[Mapping[str, Any]]:
        """Return what the node keeps of a mailbox; while it is stopped, if its store is on this machine."""
        if self.status is NodeStatus.STOPPED and self._launcher.stores_here:
            path = Path(self._launcher.directory(self.spec)) / "storage.sqlite"
            return await asyncio.to_thread(messages_in_file, path, account, namespace)
        found = await self._order("messages", orders.Mailbox(account, namespace))
        return orders.read(found, list[dict[str, Any]])

    async def rpc(self, method: str, params: Mapping[str, Any]) -> RpcResult:
        """Ask the node as a client would, without a connection."""
        status, body = await self._order("rpc", orders.ClientRequest(method, dict(params)))
        return RpcResult(status, body)

    async def monitor(self, hear: Hear, request: bytes) -> bytes:
        """Ask for ``monitor.messages``; ``hear`` gets what the node pushes until it ends."""
        self._hear = hear
        return orders.read(await self._order("monitor", request), bytes)

    async def exec(self, command: Sequence[str], deadline_s: float) -> CommandResult:
        """Run a command where the node runs."""
        if self._place is None:
            raise EngineError("run a command in", self.spec.name, "it is stopped", "start it first")
        return await self._place.exec(command, deadline_s)

    async def collect(self) -> None:
        """Wait until all that the node has told is here."""
        with contextlib.suppress(EngineError):
            await self._order("collect")

    async def _tell_all(self) -> None:
        """Tell the node how everything stands that may have changed while it was away."""
        await self.set_clock(self._surroundings.clock.offset_ms)
        await self.tell_faults()
        await self._tell("cut", lambda: self._cut)
        await self._tell("skew", lambda: self._skew_ms)
        await self._tell("knobs", lambda: self._knobs)
        await self._tell("network", self._news)

    async def _tell(self, name: str, how_it_stands: Callable[[], Any]) -> None:
        """Tell a running node how something stands; one that is away, or ends meanwhile, learns it later."""
        async with self._telling:
            if self.status is not NodeStatus.RUNNING:
                return
            try:
                await self._order(name, how_it_stands())
            except EngineError:
                if self.status is NodeStatus.RUNNING:
                    raise

    async def _order(self, name: str, payload: Any = None, *, timeout_s: float = ORDER_S) -> Any:
        node = self.spec.name
        if self._channel is None:
            raise EngineError(name, node, "it is stopped", "start it first")
        if self._frozen:
            raise EngineError(name, node, "it is paused", "resume it first")
        try:
            return await self._channel.call(name, payload, timeout_s=timeout_s)
        except ChannelRefusal as error:
            raise EngineError(name, node, error.message, error.hint) from error
        except (ChannelClosed, ChannelTimeout) as error:
            raise EngineError(name, node, str(error), f"see its log: session-harness logs {node}") from error

    def _faults(self) -> orders.Faults:
        surroundings = self._surroundings
        return orders.Faults(tuple(surroundings.faults.list()), surroundings.requests.is_active)

    async def _answer(self, name: str, payload: Any) -> Any:
        if name == "request":
            await self._surroundings.requests.request(*orders.read(payload, tuple[str, str]))
            return None
        if name != "fault.claim":
            raise ChannelRefusal(f"a network has no answer to {name!r}")
        strike = self._surroundings.faults.use(*orders.read(payload, tuple[str, str]))
        return None if strike is None else (strike.seed, strike.number)

    def _notice(self, name: str, payload: Any) -> None:
        if name == "event":
            self._surroundings.trace.adopt(payload)
        elif name == "skew":
            self._skew_ms = orders.read(payload, int)
        elif name == "kill":
            self._surroundings.kill(self.spec.name)
        elif name == "push":
            pushed = orders.read(payload, orders.Push)
            if self._hear is not None:
                self._hear(pushed.command, pushed.body)
        else:
            raise ValueError(f"a node has no notice {name!r}")

    async def _thaw(self) -> None:
        if self._place is not None:
            await self._place.thaw()
        self._frozen = False

    async def _leave(self, *, gently: bool) -> None:
        """End the place and its channel, if there are any.

        A place that is to be killed is killed first: a node whose channel closes ends by itself, and answers
        what it has held back.
        """
        place, self._place = self._place, None
        channel, self._channel = self._channel, None
        self._launched = self._frozen = False
        if place is not None and not gently:
            await place.kill()
        if channel is not None:
            await channel.close()
        if place is not None and gently and not await place.ended(STOP_S):
            await place.kill()


async def bind_all(nodes: Sequence[RemoteNode]) -> None:
    """Bind nodes at the same time; when one fails, none is left behind."""
    outcomes = await asyncio.gather(*(node.bind() for node in nodes), return_exceptions=True)
    failure = next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None)
    if failure is not None:
        await asyncio.gather(*(node.discard() for node in nodes))
        raise failure
