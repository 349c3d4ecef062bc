"""Onion requests at a node: peel, then relay, send to a server, or answer (onion-requests §§4, 6)."""

import os
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import pybase64

from session_protocol import onion
from session_protocol.errors import ProtocolError
from session_testnet.peers import PeerLink, PeerReply, PeerTimeout, PeerUnreachable
from session_testnet.services.storage.client_rpc import ClientRpc
from session_testnet.services.storage.context import NodeContext, has_address
from session_testnet.services.storage.dispatch import json_body
from session_testnet.services.storage.exits import ExitMap
from session_testnet.services.storage.results import RpcResult
from session_testnet.services.storage.settings import MAX_BODY_BYTES
from session_testnet.trace import Trace

COMMAND: Final = "onion_request"

# Other statuses of the next node become 500 on their way back.
_PASSED_STATUSES: Final = frozenset({200, 400, 401, 403, 404, 406, 410, 413, 421, 429, 500, 502, 503, 504})


class OnionHops:
    """One node's part in onion requests, as guard, relay or destination.

    Every method returns a status and the bytes that travel back unchanged to the client.
    """

    def __init__(
        self,
        context: NodeContext,
        rpc: ClientRpc,
        *,
        peers: PeerLink,
        exits: ExitMap,
        trace: Trace,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._context = context
        self._rpc = rpc
        self._peers = peers
        self._exits = exits
        self._trace = trace
        self._random_bytes = random_bytes
        self._session: aiohttp.ClientSession | None = None

    async def from_client(self, body: bytes, address: str = "") -> PeerReply:
        """Take a request as guard, from a client at this network address."""
        self._trace.record("onion_in", self._context.name, address=address, bytes=len(body))
        try:
            outer = onion.parse_outer(body)
        except ProtocolError as error:
            return _plain(400, f"Error parsing onion request: {error}")
        return await self._hop(
            onion.HopMessage(outer.blob, outer.ephemeral_key, outer.enc_type, outer.hop_no)
        )

    async def from_node(self, payload: Any, sender: str = "") -> PeerReply:
        """Take a request from another node, as a hop message or its bencoded form; ``sender`` is its key."""
        if isinstance(payload, bytes):
            try:
                payload = onion.decode_hop_message(payload)
            except ProtocolError as error:
                return _plain(400, f"Invalid internal onion request: {error}")
        if not isinstance(payload, onion.HopMessage):
            return _plain(400, "Invalid internal onion request: expected 1 part")
        self._trace.record("onion_in", self._context.name, sender=sender, bytes=len(payload.data))
        if payload.hop_no > onion.MAX_ONION_HOPS:
            return _plain(400, "onion request max path length exceeded")
        return await self._hop(payload)

    async def aclose(self) -> None:
        """Close the connections to servers."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _hop(self, message: onion.HopMessage) -> PeerReply:
        node = self._context
        if node.not_ready_reasons():
            return _plain(503, f"Snode not ready: {node.ed25519_hex}")
        keys = node.identity
        try:
            peeled = onion.peel(
                keys.x25519_sk, keys.x25519_pk, message.data, message.ephemeral_key, message.enc_type
            )
        except onion.InvalidLayer as error:
            return self._wrapped(error.reply_key, RpcResult(400, "Invalid json"))
        except ProtocolError:
            return _plain(400, "Invalid ciphertext")
        match peeled.layer:
            case onion.RelayToNode() as layer:
                return await self._relay_to_node(layer, message)
            case onion.RelayToServer() as layer:
                return await self._relay_to_server(layer, peeled.reply_key)
            case onion.FinalDestination() as layer:
                return await self._answer(layer, message, peeled.reply_key)

    async def _relay_to_node(self, layer: onion.RelayToNode, message: onion.HopMessage) -> PeerReply:
        node = self._context
        key = layer.next_ed25519.hex()
        onward = onion.HopMessage(layer.blob, layer.ephemeral_key, layer.enc_type, message.hop_no + 1)
        self._trace.record("onion_relay", node.name, hop_no=message.hop_no, next=key, bytes=len(layer.blob))
        known = node.known_network().by_key(key)
        if known is None:
            return _plain(502, f"Next node not found: {key}")
        if not has_address(known):
            if node.profile.lists_unreachable_nodes:
                # Old releases try to reach it all the same.
                return _plain(504, "Request time out")
            return _plain(502, f"Next node is currently unreachable: {key}")
        try:
            reply = await self._peers.request(
                key, COMMAND, onward, timeout_s=node.settings.relay_timeout_s, sender=node.ed25519_hex
            )
        except (PeerTimeout, PeerUnreachable):
            return _plain(504, "Request time out")
        if not isinstance(reply.body, bytes):
            return _plain(500, "Invalid response from snode")
        return reply if reply.status in _PASSED_STATUSES else PeerReply(500, reply.body)

    async def _relay_to_server(self, layer: onion.RelayToServer, reply_key: onion.ReplyKey) -> PeerReply:
        node = self._context
        self._trace.record(
            "onion_exit",
            node.name,
            protocol=layer.protocol,
            host=layer.host,
            port=layer.port,
            target=layer.target,
            bytes=len(layer.payload),
        )
        if not onion.is_allowed_target(layer.protocol, layer.target):
            return self._wrapped(reply_key, RpcResult(400, "Invalid url"))
        base_url = self._exits.base_url(layer.protocol, layer.host, layer.port)
        if base_url is None:
            return _plain(
                502,
                f"This local network has no server {layer.protocol}://{layer.host}:{layer.port}: "
                "onion requests do not leave it",
            )
        return await self._post(f"{base_url}{layer.target}", layer.payload)

    async def _post(self, url: str, payload: bytes) -> PeerReply:
        settings = self._context.settings
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=settings.exit_timeout_s),
                headers={"User-Agent": settings.server_name},
            )
        try:
            async with self._session.post(
                url,
                data=payload,
                headers={"Content-Type": "application/octet-stream"},
                allow_redirects=False,
            ) as response:
                body = await response.content.read(MAX_BODY_BYTES + 1)
                while len(body) <= MAX_BODY_BYTES and (more := await response.content.readany()):
                    body += more
                if len(body) > MAX_BODY_BYTES:
                    return _plain(502, f"The server's answer is larger than {MAX_BODY_BYTES} bytes")
                return PeerReply(response.status, body)
        except TimeoutError:
            return _plain(504, f"No answer from the server within {settings.exit_timeout_s} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _plain(502, f"The server cannot be reached: {error or type(error).__name__}")

    async def _answer(
        self, layer: onion.FinalDestination, message: onion.HopMessage, reply_key: onion.ReplyKey
    ) -> PeerReply:
        self._trace.record(
            "onion_final", self._context.name, hop_no=message.hop_no, bytes=len(layer.body), json=layer.json
        )
        result = await self._rpc.answer_body(layer.body, via="onion")
        return self._wrapped(reply_key, result, embed_json=layer.json, as_base64=layer.base64)

    def _wrapped(
        self,
        reply_key: onion.ReplyKey,
        result: RpcResult,
        *,
        embed_json: bool = False,
        as_base64: bool = True,
    ) -> PeerReply:
        """Seal an answer: it travels with status 200, whatever the inner one is (onion-requests §4.4)."""
        plaintext = onion.node_reply_plaintext(result.status, json_body(result.body), embed_json=embed_json)
        sealed = onion.seal_reply(reply_key, plaintext, random_bytes=self._random_bytes)
        return PeerReply(200, pybase64.b64encode(sealed) if as_base64 else sealed)


def _plain(status: int, text: str) -> PeerReply:
    return PeerReply(status, text.encode())
