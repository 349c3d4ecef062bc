"""The network as one object: nodes, swarms, requests for an account, files."""

import asyncio
import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from session_protocol.accounts import Account
from session_testnet.client.bootstrap import ServiceNode, fetch_service_nodes
from session_testnet.client.errors import (
    ClientError,
    ClockSkew,
    DeadlineExceeded,
    NetworkError,
    NodeFailed,
    NotEnoughNodes,
    Refused,
    WrongSwarm,
    error_for_status,
)
from session_testnet.client.files import FileClient, FileServerInfo, UploadedFile
from session_testnet.client.http_client import HttpClient
from session_testnet.client.network_time import NetworkTime, TimeSample, system_clock_ms
from session_testnet.client.paths import RELAYS, PathBook
from session_testnet.client.swarm import Swarm, SwarmCache, parse_swarm
from session_testnet.client.transport import DirectTransport, NodeTransport, OnionTransport

ATTEMPTS: Final = 6
"""Members asked for one account request before it is given up."""

LOOKUP_ATTEMPTS: Final = 6
"""Nodes asked for a swarm before the look-up is given up."""

TIME_SOURCES: Final = 3
"""Nodes whose time is compared (onion-requests §8.5)."""

FIRST_PAUSE_S: Final = 0.1
"""Pause before a member is asked a second time; doubled for each further round."""

META_METHODS: Final = ("batch", "sequence")

Params = Mapping[str, Any] | Callable[[int, ServiceNode], Mapping[str, Any]]
"""Parameters, or what makes and signs them for each attempt from network time (ms) and the member asked."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines in seconds: a seed, a request to a node, a file, and an account request with repetitions."""

    seed_s: float = 5.0
    request_s: float = 10.0
    file_s: float = 30.0
    call_s: float = 30.0


@dataclass(frozen=True, slots=True)
class RpcReply:
    """The answer of a node: status, body (parsed JSON or text), and who gave it."""

    status: int
    body: Any
    node: ServiceNode


class NetworkClient:
    """Speak to a Session network for one account, or for none.

    `registry_urls` are the seeds. Requests to nodes go through onion paths of `relays` relays, or directly
    over HTTPS without `use_onion`. `clock` is the device's clock in ms and `offset_ms` what is known of its
    error; the client corrects the offset when nodes disagree. All choices come from `rng`, key material
    from `random_bytes`.
    """

    def __init__(
        self,
        account: Account | None,
        registry_urls: str | Sequence[str],
        *,
        use_onion: bool = True,
        relays: int = RELAYS,
        tls_verify: bool = False,
        proxy_url: str | None = None,
        file_server: FileServerInfo | None = None,
        clock: Callable[[], int] = system_clock_ms,
        offset_ms: int = 0,
        rng: random.Random | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.account = account
        self.time = NetworkTime(clock, offset_ms)
        self.timeouts = timeouts or Timeouts()
        self.random_bytes = random_bytes
        self._rng = rng or random.Random()  # noqa: S311  # chooses nodes, makes no keys
        self._seeds = (registry_urls,) if isinstance(registry_urls, str) else tuple(registry_urls)
        self._http = HttpClient(tls_verify=tls_verify, proxy_url=proxy_url)
        self._paths = PathBook(self._rng, relays=relays)
        self._onion = (
            OnionTransport(self._http, self._paths, random_bytes=random_bytes) if use_onion else None
        )
        self._transport: NodeTransport = self._onion or DirectTransport(self._http)
        self._swarms = SwarmCache()
        self._file_server = file_server
        self._bootstrapping = asyncio.Lock()

    @property
    def nodes(self) -> tuple[ServiceNode, ...]:
        """Return the service nodes known at present."""
        return self._paths.nodes

    @property
    def paths(self) -> PathBook:
        """Return the onion paths, for whoever shows or tests them."""
        return self._paths

    def now_ms(self) -> int:
        """Return network time in ms."""
        return self.time.now_ms()

    async def bootstrap(self) -> tuple[ServiceNode, ...]:
        """Fetch the list of service nodes; raise a NetworkError that names every seed's failure."""
        needed = self._paths.relays + 1 if self._onion else 1
        nodes = await fetch_service_nodes(
            self._http, self._seeds, timeout_s=self.timeouts.seed_s, at_least=needed
        )
        self._paths.learn(nodes)
        return nodes

    async def swarm(self, account_id: str) -> tuple[ServiceNode, ...]:
        """Return the members of an account's swarm, from the cache or from a random node."""
        known = self._swarms.get(account_id)
        return (known or await self._look_up(account_id)).members

    async def rpc(
        self, node: ServiceNode, method: str, params: Mapping[str, Any], *, timeout_s: float | None = None
    ) -> RpcReply:
        """Send one request to one node, once; return its answer of any status, or raise a NetworkError."""
        await self._ensure_nodes()
        request = json.dumps({"method": method, "params": params}, separators=(",", ":")).encode()
        limit = self.timeouts.request_s if timeout_s is None else min(timeout_s, self.timeouts.request_s)
        reply = await self._transport.node_request(node, request, timeout_s=limit, what=method)
        return RpcReply(reply.status, reply.body, node)

    async def account_rpc(
        self, account_id: str, method: str, params: Params, *, prefer: ServiceNode | None = None
    ) -> RpcReply:
        """Send a request about an account to its swarm until a member answers 200, and return that answer.

        Wrong swarm (421) replaces the swarm by what the node told; a clock error (406) measures network
        time and makes the parameters anew; failing and unreachable members are passed over. What is about
        the request itself (400, 401, 403, 404, 413) is raised at once. ``error.data["attempts"]`` tells
        what was tried. A ``batch`` or ``sequence`` counts as 421 or 406 when one of its answers does.
        """
        attempts: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(self.timeouts.call_s):
                return await self._account_rpc(account_id, method, params, prefer, attempts)
        except TimeoutError:
            raise DeadlineExceeded(
                f"waited {self.timeouts.call_s:g} s for {method} of {account_id[:10]}…,"
                f" {len(attempts)} attempts failed",
                method=method,
                attempts=attempts,
            ) from None

    async def upload(self, data: bytes, *, ttl_s: int | None = None) -> UploadedFile:
        """Store a blob at the file server."""
        return await (await self._files()).upload(data, ttl_s=ttl_s)

    async def download(self, url: str) -> bytes:
        """Fetch a blob from the file server."""
        return await (await self._files()).download(url)

    async def synchronise_clock(self) -> int:
        """Measure network time at several nodes and return the new offset in ms; raise when none answers."""
        await self._ensure_nodes()
        nodes = self._rng.sample(self.nodes, min(TIME_SOURCES, len(self.nodes)))
        answers = await asyncio.gather(*(self._measure(node) for node in nodes), return_exceptions=True)
        samples = [answer for answer in answers if isinstance(answer, TimeSample)]
        if not samples:
            raise next(answer for answer in answers if isinstance(answer, BaseException))
        self.time.learn(samples)
        return self.time.offset_ms

    async def info(self) -> RpcReply:
        """Ask a random node for its version and time; raise when it does not answer 200."""
        await self._ensure_nodes()
        reply = await self.rpc(self._rng.choice(self.nodes), "info", {})
        if reply.status != 200:
            raise error_for_status(reply.status, reply.body, f"info at {reply.node.label}")
        return reply

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _account_rpc(
        self,
        account_id: str,
        method: str,
        params: Params,
        prefer: ServiceNode | None,
        attempts: list[dict[str, Any]],
    ) -> RpcReply:
        asked: set[str] = set()
        pause_s = FIRST_PAUSE_S
        failure: ClientError | None = None
        while len(attempts) < ATTEMPTS:
            members = await self.swarm(account_id)
            fresh = [member for member in members if member.ed25519_pk not in asked]
            if not fresh:
                # Everyone was asked: the swarm may have changed, or they may need a moment.
                asked.clear()
                self._swarms.forget(account_id)
                await asyncio.sleep(pause_s)
                pause_s *= 2
                continue
            node = prefer if prefer in fresh and not attempts else self._rng.choice(fresh)
            assert node is not None, "a member was chosen"
            asked.add(node.ed25519_pk)
            try:
                reply = await self._timed_rpc(node, method, params)
                failure = _failure_of(reply, method)
            except NetworkError as error:
                failure = error
            else:
                if failure is None:
                    return reply
            attempts.append(
                {
                    "node": node.ed25519_pk,
                    "code": failure.code,
                    "message": failure.message,
                    **_status(failure),
                }
            )
            await self._react(account_id, node, failure)
        assert failure is not None, "the attempts ended with a failure"
        failure.data.update(method=method, attempts=attempts)
        raise failure

    async def _react(self, account_id: str, node: ServiceNode, failure: ClientError) -> None:
        """Prepare the next attempt, or raise what no other member would answer differently."""
        if isinstance(failure, WrongSwarm):
            swarm = parse_swarm(failure.data.pop("body", None), f"421 of {node.label}")
            if swarm is None:
                self._swarms.drop_member(account_id, node.ed25519_pk)
            else:
                self._swarms.put(account_id, swarm)
        elif isinstance(failure, ClockSkew):
            await self.synchronise_clock()
        elif not isinstance(failure, NetworkError):
            raise failure

    async def _timed_rpc(self, node: ServiceNode, method: str, params: Params) -> RpcReply:
        values = params(self.now_ms(), node) if callable(params) else params
        sent_ms = self.time.clock()
        reply = await self.rpc(node, method, values)
        await self._compare_clocks(reply, sent_ms)
        return reply

    async def _compare_clocks(self, reply: RpcReply, sent_ms: int) -> None:
        """Measure network time when a node's answer shows a time far from ours (onion-requests §8.5)."""
        node_ms = _node_time(reply.body)
        if node_ms is None:
            return
        sample = TimeSample(node_ms, sent_ms, self.time.clock())
        if self.time.contradicts(reply.node.ed25519_pk, sample):
            await self.synchronise_clock()
            self.time.judge(reply.node.ed25519_pk, sample)

    async def _measure(self, node: ServiceNode) -> TimeSample:
        sent_ms = self.time.clock()
        reply = await self.rpc(node, "info", {})
        node_ms = _node_time(reply.body)
        if reply.status != 200 or node_ms is None:
            raise NodeFailed(
                f"info at {node.label} was answered {reply.status} without a time", status=reply.status
            )
        return TimeSample(node_ms, sent_ms, self.time.clock())

    async def _look_up(self, account_id: str) -> Swarm:
        await self._ensure_nodes()
        failure: ClientError | None = None
        asked: set[str] = set()
        for _ in range(LOOKUP_ATTEMPTS):
            node = self._rng.choice(
                [node for node in self.nodes if node.ed25519_pk not in asked] or self.nodes
            )
            asked.add(node.ed25519_pk)
            try:
                reply = await self._timed_rpc(node, "get_swarm", {"pubkey": account_id})
            except NetworkError as error:
                failure = error
                continue
            if reply.status != 200:
                failure = error_for_status(reply.status, reply.body, f"get_swarm at {node.label}")
                if isinstance(failure, Refused):
                    raise failure
                continue
            swarm = parse_swarm(reply.body, f"get_swarm at {node.label}")
            if swarm is not None:
                self._swarms.put(account_id, swarm)
                return swarm
            failure = NotEnoughNodes(f"{node.label} knows no swarm for {account_id[:10]}…")
        assert failure is not None, "every look-up without a swarm leaves a failure"
        raise failure

    async def _ensure_nodes(self) -> None:
        """Have enough nodes: at the start, and again when failures have thinned the pool out."""
        if self._is_ready():
            return
        async with self._bootstrapping:
            if not self._is_ready():
                await self.bootstrap()

    def _is_ready(self) -> bool:
        return self._paths.is_usable if self._onion else bool(self._paths.nodes)

    async def _files(self) -> FileClient:
        if self._file_server is None:
            raise Refused("no file server is known: give its URL, and its X25519 key for onion requests")
        if self._onion is not None:
            await self._ensure_nodes()
        return FileClient(self._file_server, self._http, self._onion, timeout_s=self.timeouts.file_s)


def _failure_of(reply: RpcReply, method: str) -> ClientError | None:
    what = f"{method} at {reply.node.label}"
    if reply.status != 200:
        return _status_error(reply.status, reply.body, what)
    if method in META_METHODS and isinstance(reply.body, Mapping):
        for result in reply.body.get("results", ()):
            if isinstance(result, Mapping) and result.get("code") in (406, 421, 425):
                return _status_error(result["code"], result.get("body"), what)
    return None


def _status_error(status: int, body: Any, what: str) -> ClientError:
    failure = error_for_status(status, body, what)
    if isinstance(failure, WrongSwarm):
        failure.data["body"] = body
    return failure


def _status(failure: ClientError) -> dict[str, Any]:
    return {"status": failure.data["status"]} if "status" in failure.data else {}


def _node_time(body: Any) -> int | None:
    """Find the node's time in an answer: at the top, or the latest in the parts of a batch."""
    if not isinstance(body, Mapping):
        return None
    node_ms = body.get("t")
    if isinstance(node_ms, int) and not isinstance(node_ms, bool):
        return node_ms
    parts = body.get("results")
    if not isinstance(parts, list):
        return None
    times = [_node_time(part.get("body")) for part in parts if isinstance(part, Mapping)]
    return max((time for time in times if time is not None), default=None)
