"""How a request reaches a node or a server: through an onion path, or straight over HTTPS."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from session_protocol import onion
from session_protocol.errors import ProtocolError
from session_testnet.client.bootstrap import ServiceNode
from session_testnet.client.errors import (
    BadReply,
    ClientError,
    ConnectionLost,
    DeadlineExceeded,
    DestinationUnreachable,
    PathFailed,
    TooLarge,
    Unreachable,
)
from session_testnet.client.http_client import HttpClient, HttpReply
from session_testnet.client.paths import Path, PathBook

ATTEMPTS: Final = 3
"""Paths tried for one request while it is certain that a relay, not the destination, is at fault."""

# Plain answers that name the node at fault (onion-requests §6); the key is used as it stands.
_NAMED_NODE = re.compile(
    r"(?P<said>Next node not found|Next node is currently unreachable|Snode not ready): "
    r"(?P<key>[0-9a-f]{64})\Z"
)


# What a guard says before it looks at a request (onion-requests §6).
_GUARD_NOT_READY = ("Service node is not ready", "Server busy")


@dataclass(frozen=True, slots=True)
class NodeReply:
    """A node's own answer: its status, and its body as parsed JSON, or as text where it is none."""

    status: int
    body: Any


class NodeTransport(Protocol):
    """Carry a JSON request to a node and bring back its answer; NetworkError when none came."""

    async def node_request(
        self, node: ServiceNode, request: bytes, *, timeout_s: float, what: str
    ) -> NodeReply:
        """Carry `request` (a UTF-8 JSON object) to `node`; `what` names it in errors."""
        ...


class DirectTransport:
    """Post requests to the node itself, as the simple clients do: the node sees our address."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def node_request(
        self, node: ServiceNode, request: bytes, *, timeout_s: float, what: str
    ) -> NodeReply:
        """Carry a request to ``/storage_rpc/v1``; raises as :class:`HttpClient` does."""
        reply = await self._http.post(
            f"{node.base_url}/storage_rpc/v1",
            request,
            timeout_s=timeout_s,
            waiting_for=f"{what} at {node.label}",
            headers={"Content-Type": "application/json"},
        )
        return NodeReply(reply.status, parse_body(reply.text))


class OnionTransport:
    """Wrap requests in layers, send them along a path of the book, and tell the book how it went."""

    def __init__(
        self,
        http: HttpClient,
        paths: PathBook,
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
        enc_type: onion.EncryptionType = onion.EncryptionType.AES_GCM,
    ) -> None:
        self._http = http
        self._paths = paths
        self._random_bytes = random_bytes
        self._enc_type = enc_type

    async def node_request(
        self, node: ServiceNode, request: bytes, *, timeout_s: float, what: str
    ) -> NodeReply:
        """Carry a request to a node; raise PathFailed, DestinationUnreachable or TooLarge."""
        destination = onion.NodeDestination(bytes.fromhex(node.ed25519_pk), bytes.fromhex(node.x25519_pk))
        path, reply_key, answer = await self._send(
            destination, request, node.ed25519_pk, timeout_s, f"{what} at {node.label}"
        )
        try:
            opened = onion.open_node_reply(reply_key, answer)
        except ProtocolError as error:
            # A relay's own refusal is sealed with the relay's key, which only that relay's layer has.
            raise self._lost(path, f"the answer to {what} cannot be opened: {error}") from None
        self._paths.succeeded(path)
        return NodeReply(opened.status, opened.body)

    async def server_request(
        self, destination: onion.ServerDestination, payload: bytes, *, timeout_s: float, what: str
    ) -> bytes:
        """Carry a payload to a server behind the last relay; return the server's opened answer."""
        path, reply_key, answer = await self._send(destination, payload, None, timeout_s, what)
        try:
            opened = onion.open_reply(reply_key, answer)
        except ProtocolError as error:
            raise self._lost(path, f"the answer to {what} cannot be opened: {error}") from None
        self._paths.succeeded(path)
        return opened

    async def _send(
        self,
        destination: onion.NodeDestination | onion.ServerDestination,
        payload: bytes,
        destination_key: str | None,
        timeout_s: float,
        what: str,
    ) -> tuple[Path, onion.ReplyKey, bytes]:
        avoided = {destination_key} if destination_key else set()
        tried: list[Path] = []
        failure: ClientError | None = None
        for _ in range(ATTEMPTS):
            path = self._paths.choose(without=avoided, other_than=tried)
            tried.append(path)
            built = onion.build(
                path.hops, destination, payload, enc_type=self._enc_type, random_bytes=self._random_bytes
            )
            try:
                reply = await self._http.post(
                    f"{path.guard.base_url}/onion_req/v2",
                    built.body,
                    timeout_s=timeout_s,
                    waiting_for=f"{what} through {path.label}",
                )
            except Unreachable as error:
                self._paths.drop(path.guard.ed25519_pk)
                failure = error
                continue
            except (ConnectionLost, DeadlineExceeded):
                self._paths.failed(path)
                raise
            if reply.status == 200:
                return path, built.reply_key, reply.body
            if reply.status == 503 and reply.text.startswith(_GUARD_NOT_READY):
                self._paths.strike(path.guard.ed25519_pk)
                avoided.add(path.guard.ed25519_pk)
                failure = _path_failure(PathFailed, path, reply, what)
            else:
                failure = self._relay_error(path, reply, destination_key, what)
        assert failure is not None, "every attempt that returns no answer leaves a failure"
        raise failure

    def _relay_error(
        self, path: Path, reply: HttpReply, destination_key: str | None, what: str
    ) -> ClientError:
        """Return the error when another path may help, raise it when not (the failure table of §6)."""
        if reply.status == 413:
            raise _path_failure(TooLarge, path, reply, what)
        named = _NAMED_NODE.match(reply.text)
        if named is None:
            self._paths.failed(path)
            raise _path_failure(PathFailed, path, reply, what)
        key = named["key"]
        if named["said"] == "Next node not found":
            self._paths.drop(key)
        else:
            self._paths.strike(key)
        if key == destination_key:
            raise _path_failure(DestinationUnreachable, path, reply, what)
        return _path_failure(PathFailed, path, reply, what)

    def _lost(self, path: Path, message: str) -> PathFailed:
        self._paths.failed(path)
        return PathFailed(message, path=[node.ed25519_pk for node in path.nodes])


def _path_failure(kind: type[ClientError], path: Path, reply: HttpReply, what: str) -> ClientError:
    return kind(
        f"{what} got lost on {path.label}: {reply.status} {reply.text[:200].strip()}",
        status=reply.status,
        path=[node.ed25519_pk for node in path.nodes],
    )


def parse_body(text: str) -> Any:
    """Read a node's body as JSON where it is an object or a list; errors of nodes are plain text."""
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            raise BadReply(f"a node answered with broken JSON: {text[:200]!r}") from None
    return text
