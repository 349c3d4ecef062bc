"""How nodes in different processes reach each other: by channels, opened when they are needed."""

import asyncio
import contextlib
import hmac
import socket
from collections.abc import Collection, Mapping
from typing import Any, Final

from session_testnet.channel import Channel, ChannelClosed, ChannelRefusal, ChannelTimeout
from session_testnet.peers import PeerHandler, PeerReply, PeerTimeout, PeerUnreachable
from session_testnet.services.storage.peer_payloads import BadPayload, decode, encode

CONNECT_S: Final = 5.0
Address = tuple[str, int]


class ChannelPeerLink:
    """The link of one node: it asks the others, and takes their requests at a socket of its own.

    Who knows the network's token is believed the key that it names. Between two nodes requests arrive in the
    order in which they were made.
    """

    def __init__(self, ed25519_hex: str, token: str) -> None:
        """Take the node's key, and what the nodes of this network know each other by."""
        self._key = ed25519_hex
        self._token = token
        self._addresses: dict[str, Address] = {}
        self._cut: frozenset[str] = frozenset()
        self._channels: dict[str, asyncio.Task[Channel]] = {}
        self._accepted: set[Channel] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._handler: PeerHandler | None = None
        self._server: asyncio.Server | None = None

    async def serve(self, listener: socket.socket) -> None:
        """Take requests of other nodes at a listening socket."""
        self._server = await asyncio.start_server(self._accept, sock=listener)

    def know(self, addresses: Mapping[str, Address]) -> None:
        """Take over where all nodes of the network are, by their keys."""
        for key in {*self._channels} - {*addresses}:
            self._drop(key)
        self._addresses = dict(addresses)

    def cut_off(self, ed25519_hex: str, others: Collection[str]) -> None:
        """Reach these nodes no more, nor be reached by them; all others again."""
        if ed25519_hex == self._key:
            self._cut = frozenset(others)

    def register(self, ed25519_hex: str, handler: PeerHandler) -> None:
        """Answer other nodes from now on."""
        if ed25519_hex != self._key:
            raise ValueError(f"this is the link of {self._key}, not of {ed25519_hex}")
        self._handler = handler

    def unregister(self, ed25519_hex: str) -> None:
        """Answer no more."""
        if ed25519_hex == self._key:
            self._handler = None

    async def request(
        self, target_ed25519: str, command: str, payload: Any, *, timeout_s: float, sender: str = ""
    ) -> PeerReply:
        """Ask another node; raise PeerUnreachable or PeerTimeout."""
        del sender  # It is this node, whatever it says.
        if target_ed25519 in self._cut:
            raise PeerUnreachable(f"no node answers under {target_ed25519}, asked for {command}")
        try:
            async with asyncio.timeout(timeout_s):
                channel = await self._channel(target_ed25519)
                status, body = await channel.call(
                    "peer", (command, encode(command, payload)), timeout_s=timeout_s
                )
        except (TimeoutError, ChannelTimeout):
            raise PeerTimeout(f"waited {timeout_s} s for node {target_ed25519} to answer {command}") from None
        except (OSError, ChannelClosed, ChannelRefusal) as error:
            raise PeerUnreachable(f"node {target_ed25519} cannot be asked for {command}: {error}") from error
        return PeerReply(status, body)

    async def close(self) -> None:
        """Close all channels; safe to call twice."""
        if self._server is not None:
            self._server.close()
        for key in tuple(self._channels):
            self._drop(key)
        for channel in tuple(self._accepted):
            await channel.close()
        await asyncio.gather(*self._closing)

    async def _channel(self, key: str) -> Channel:
        """Return the open channel to a node; whoever needs a new one meanwhile waits for the same."""
        opening = self._channels.get(key)
        if opening is None or (opening.done() and not _is_open(opening)):
            opening = self._channels[key] = asyncio.create_task(self._open(key), name=f"channel to {key}")
            # Its failure is told to those who wait; nobody may be left by then.
            opening.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(opening)

    async def _open(self, key: str) -> Channel:
        if key not in self._addresses:
            raise PeerUnreachable(f"no node is known under {key}")
        host, port = self._addresses[key]
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_S)
        channel = Channel(f"node {key}", reader, writer, self._refuse)
        await channel.call("hello", (self._key, self._token), timeout_s=CONNECT_S)
        return channel

    async def _refuse(self, name: str, _payload: Any) -> Any:
        raise ChannelRefusal(f"this end is not asked for {name}")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = ""

        async def answer(name: str, payload: Any) -> Any:
            nonlocal sender
            if name == "hello":
                key, token = payload
                if not hmac.compare_digest(str(token).encode(), self._token.encode()):
                    raise ChannelRefusal("the token is not that of this network")
                sender = str(key)
                return None
            if name != "peer" or not sender:
                raise ChannelRefusal(f"{name} was asked for before a greeting")
            if self._handler is None or sender in self._cut:
                raise ChannelRefusal("this node does not answer")
            command, value = payload
            try:
                decoded = decode(command, value)
            except BadPayload as error:
                return 400, str(error).encode()
            reply = await self._handler(command, decoded, sender)
            return reply.status, reply.body

        channel = Channel("another node", reader, writer, answer)
        self._accepted.add(channel)
        with contextlib.suppress(asyncio.CancelledError):
            await channel.wait_closed()
        self._accepted.discard(channel)
        await channel.close()

    def _drop(self, key: str) -> None:
        opening = self._channels.pop(key)
        if _is_open(opening):
            closing = asyncio.create_task(opening.result().close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        else:
            opening.cancel()


def _is_open(opening: "asyncio.Task[Channel]") -> bool:
    return (
        opening.done()
        and not opening.cancelled()
        and opening.exception() is None
        and not opening.result().is_closed
    )
