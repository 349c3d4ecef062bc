"""Run one node in a process of its own, under the orders of the network that it belongs to."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from session_testnet.channel import Channel, ChannelClosed, ChannelRefusal
from session_testnet.clock import Clock
from session_testnet.endpoints import bind_socket
from session_testnet.engines.hosted_node import HostedNode, NodeParts
from session_testnet.engines.omq import OmqSide
from session_testnet.engines.remote import orders
from session_testnet.engines.remote.orders import read
from session_testnet.engines.remote.peer_link import ChannelPeerLink
from session_testnet.engines.remote.rule_copies import RuleCopies
from session_testnet.faults import RuleGate
from session_testnet.knobs import NodeKnobs
from session_testnet.services.registry import NetworkSnapshot, RegistryState
from session_testnet.services.registry.json_rpc import RegistryRpc
from session_testnet.services.storage import ExitMap
from session_testnet.trace import Trace

# How long the network may take to count a request.
_COUNT_S = 10.0


class NodeHost:
    """Carry out the orders for one node until the channel closes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the stream to the network."""
        self._clock = Clock()
        self._trace = Trace(self._clock, capacity=1, listener=self._tell_event)
        self._omq = OmqSide()
        self._node: HostedNode | None = None
        self._peers: ChannelPeerLink | None = None
        self._peer_listener: Any = None
        self._gate: RuleGate | None = None
        self._rpc: RegistryRpc | None = None
        self._orders: Mapping[str, Callable[[Any], Awaitable[Any]]] = {
            "bind": self._bind,
            "equip": self._equip,
            "launch": self._launch,
            "network": self._network,
            "catch_up": self._catch_up,
            "clock": self._set_clock,
            "skew": self._set_skew,
            "knobs": self._set_knobs,
            "rules": self._set_rules,
            "cut": self._cut,
            "settle": self._settle,
            "owed_to": self._owed_to,
            "purge": self._purge,
            "forget": self._forget,
            "messages": self._messages,
            "rpc": self._ask,
            "monitor": self._monitor,
            "collect": self._collect,
            "stop": self._stop,
        }
        self._channel = Channel("the network", reader, writer, self._answer)
        self._rules = RuleCopies(self._channel)
        self._watch = _RemoteWatch(self._channel)

    async def run(self) -> None:
        """Serve until the network has gone, or has ordered the end."""
        try:
            await self._channel.wait_closed()
        finally:
            await self._end()

    def call(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the node's question about the chain, from the copy of the registry."""
        assert self._rpc is not None, "a node is launched with a copy of the registry"
        return self._rpc.call(method, params)

    async def _answer(self, name: str, payload: Any) -> Any:
        try:
            carry_out = self._orders[name]
        except KeyError:
            raise ChannelRefusal(f"a node has no order {name!r}") from None
        return await carry_out(payload)

    @property
    def _hosted(self) -> HostedNode:
        if self._node is None:
            raise ChannelRefusal("the node is not bound yet")
        return self._node

    async def _bind(self, payload: Any) -> orders.Bound:
        bind = read(payload, orders.Bind)
        if bind.omq:
            self._omq.prepare(1)
        with contextlib.ExitStack() as undone:
            listener = undone.enter_context(bind_socket(bind.host, bind.port))
            peers = undone.enter_context(bind_socket(bind.host, bind.peer_port))
            omq = self._omq.bind(bind.host, undone, bind.omq_port) if bind.omq else None
            undone.pop_all()
        self._peer_listener = peers
        self._node = HostedNode(bind.spec, listener, omq, None)
        return orders.Bound(
            port=listener.getsockname()[1],
            omq_port=omq.getsockname()[1] if omq else None,
            peer_port=peers.getsockname()[1],
        )

    async def _equip(self, payload: Any) -> None:
        equip, node = read(payload, orders.Equip), self._hosted
        self._clock.offset_ms = equip.clock_offset_ms
        self._set_faults(equip.faults)
        self._peers = ChannelPeerLink(node.ed25519_hex, equip.token)
        await self._peers.serve(self._peer_listener)
        self._gate = RuleGate(
            self._rules,
            self._trace,
            lambda _, account: node.service.swarm_answer(account),
            self._set_skew_by_rule,
            kill=lambda _: self._channel.tell("kill"),
            watch=self._watch,
        )
        node.equip(
            NodeParts(
                clock=self._clock,
                trace=self._trace,
                peers=self._peers,
                gate=self._gate,
                exits=ExitMap({(protocol, host, port): url for protocol, host, port, url in equip.exits}),
                oxend=self,
                omq=self._omq,
                version=equip.version,
                limits=equip.limits,
            ),
            None if equip.directory is None else Path(equip.directory),
        )

    async def _launch(self, payload: Any) -> None:
        await self._hosted.launch(self._take_over(payload))

    async def _network(self, payload: Any) -> None:
        await self._hosted.update_network(self._take_over(payload))

    def _take_over(self, payload: Any) -> NetworkSnapshot:
        news = read(payload, orders.NetworkNews)
        state = RegistryState.of_image(news.registry)
        # The order of a list of nodes is nobody's secret.
        rng = random.Random(f"{state.seed} {state.height}")  # noqa: S311
        self._rpc = RegistryRpc(state, clock=self._clock, trace=self._trace, rng=rng)
        if self._peers is not None:
            self._peers.know({key: (host, port) for key, host, port in news.peers})
        return state.snapshot()

    async def _catch_up(self, _payload: Any) -> None:
        await self._hosted.catch_up()

    async def _set_clock(self, payload: Any) -> None:
        self._clock.offset_ms = read(payload, int)

    async def _set_skew(self, payload: Any) -> None:
        await self._hosted.set_skew(read(payload, int))

    def _set_skew_by_rule(self, _node: str, offset_ms: int) -> None:
        self._hosted.turn_clock(offset_ms)
        self._channel.tell("skew", offset_ms)

    async def _set_knobs(self, payload: Any) -> None:
        await self._hosted.set_knobs(read(payload, NodeKnobs))

    async def _set_rules(self, payload: Any) -> None:
        self._set_faults(read(payload, orders.Faults))

    def _set_faults(self, faults: orders.Faults) -> None:
        self._rules.replace(faults.rules)
        self._watch.is_active = faults.watched

    async def _cut(self, payload: Any) -> None:
        cut = read(payload, orders.Cut)
        await self._hosted.cut_off(frozenset(cut.keys), clients=cut.clients)

    async def _settle(self, payload: Any) -> None:
        await self._hosted.settled(frozenset(payload))

    async def _owed_to(self, _payload: Any) -> Any:
        return await self._hosted.owed_to()

    async def _purge(self, _payload: Any) -> int:
        return await self._hosted.purge()

    async def _forget(self, payload: Any) -> int:
        return await self._hosted.forget(payload)

    async def _messages(self, payload: Any) -> Any:
        mailbox = read(payload, orders.Mailbox)
        return await self._hosted.stored_messages(mailbox.account, mailbox.namespace)

    async def _ask(self, payload: Any) -> Any:
        request = read(payload, orders.ClientRequest)
        result = await self._hosted.rpc(request.method, request.params)
        return result.status, result.body

    async def _monitor(self, payload: Any) -> bytes:
        return await self._hosted.monitor(self._tell_push, read(payload, bytes))

    async def _collect(self, _payload: Any) -> None:
        """Answer behind everything that was told before."""

    async def _stop(self, _payload: Any) -> None:
        await self._end()

    async def _end(self) -> None:
        if self._gate is not None:
            self._gate.close()
        self._omq.release()
        if self._node is not None:
            await self._node.discard()
        await self._omq.close()
        if self._peers is not None:
            await self._peers.close()
        elif self._peer_listener is not None:
            self._peer_listener.close()

    def _tell_push(self, command: bytes, body: bytes) -> None:
        self._channel.tell("push", orders.Push(command, body))

    def _tell_event(self, event: Mapping[str, Any]) -> None:
        self._channel.tell("event", event)


class _RemoteWatch:
    """Tell the network of requests while it counts them."""

    def __init__(self, channel: Channel) -> None:
        self.is_active = False
        self._channel = channel

    async def request(self, node: str, method: str) -> None:
        with contextlib.suppress(ChannelClosed):
            await self._channel.call("request", (node, method), timeout_s=_COUNT_S)
