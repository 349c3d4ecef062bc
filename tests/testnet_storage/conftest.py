"""A few storage nodes in the test's own process, asked over real sockets."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any, TypeVar

import aiohttp
import orjson
import pytest
from aiohttp import web

from session_protocol.accounts import Account
from session_protocol.service_nodes import NodeIdentity
from session_protocol.storage_auth import sign_request
from session_testnet.clock import Clock, SkewedClock
from session_testnet.peers import DirectPeerLink
from session_testnet.services.registry import NetworkSnapshot, NodeInfo
from session_testnet.services.storage import ExitMap, FaultGate, StorageNode, StorageSettings
from session_testnet.trace import Trace

T = TypeVar("T")

NOW_MS = 1_700_000_000_123
DAY_MS = 86_400_000


class FrozenClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__(lambda: NOW_MS * 1_000_000)


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Nodes:
    """Some nodes with their clock, link, trace and HTTP listeners."""

    runner: asyncio.Runner
    clock: Clock
    trace: Trace
    peers: DirectPeerLink
    nodes: list[StorageNode]
    identities: list[NodeIdentity]
    snapshot: NetworkSnapshot
    urls: list[str]
    session: aiohttp.ClientSession

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def post(
        self, path: str, body: Any, *, node: int = 0, headers: Mapping[str, str] | None = None
    ) -> Answer:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        return self.run(self.request("POST", path, data, node=node, headers=headers))

    async def request(
        self,
        method: str,
        path: str,
        data: bytes | IO[bytes] | None = None,
        *,
        node: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        async with self.session.request(
            method, f"{self.urls[node]}{path}", data=data, headers=headers
        ) as response:
            raw = await response.read()
            kind = response.headers.get("Content-Type")
            body: Any = raw
            if kind == "application/json":
                body = orjson.loads(raw)
            elif kind == "text/plain":
                body = raw.decode()
            return Answer(response.status, body, dict(response.headers))

    def ask(self, method: str, params: Mapping[str, Any], *, node: int = 0) -> Answer:
        return self.post("/storage_rpc/v1", {"method": method, "params": dict(params)}, node=node)

    def signed(self, account: Account, method: str, params: Mapping[str, Any], *, node: int = 0) -> Answer:
        return self.ask(method, sign_request(account, method, params), node=node)

    def store(self, account_id: str, data: str, *, node: int = 0, **more: Any) -> Answer:
        params = {"pubkey": account_id, "timestamp": self.now, "ttl": DAY_MS, "data": data, **more}
        return self.ask("store", params, node=node)

    def retrieve(self, account: Account, *, node: int = 0, **more: Any) -> Answer:
        return self.signed(account, "retrieve", {"timestamp": self.now, **more}, node=node)

    def network(self, swarms: Sequence[int], *, lost: int | None = None) -> NetworkSnapshot:
        """Return the network with these swarms; nobody knows the address of the node ``lost``."""
        infos = node_infos(self.identities, swarms)
        if lost is not None:
            infos[lost] = replace(infos[lost], ip="0.0.0.0")  # noqa: S104 - how the network says "unknown"
        return NetworkSnapshot.of(infos, height=1235, block_hash="cd" * 32)

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    @property
    def keys(self) -> list[str]:
        return [node.ed25519_hex for node in self.nodes]


def node_infos(identities: Sequence[NodeIdentity], swarms: Sequence[int]) -> list[NodeInfo]:
    return [
        NodeInfo(
            name=f"node-{index + 1:02}",
            ed25519_pk=identity.ed25519_pk.hex(),
            x25519_pk=identity.x25519_pk.hex(),
            ip=f"127.0.{index + 1}.1",
            https_port=22021,
            omq_port=22020,
            swarm_id=swarm,
        )
        for index, (identity, swarm) in enumerate(zip(identities, swarms, strict=True))
    ]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


MakeNodes = Callable[..., Nodes]


@pytest.fixture
def make_nodes(runner: asyncio.Runner) -> Iterator[MakeNodes]:
    """Return a function that starts nodes: one swarm of ``count``, or the given swarm id for each."""
    started: list[tuple[Nodes, list[web.AppRunner]]] = []

    def make(
        count: int = 3,
        *,
        swarms: Sequence[int] | None = None,
        hardfork: tuple[int, int] = (21, 2),
        settings: StorageSettings | None = None,
        exits: ExitMap | None = None,
        fault_gate: FaultGate | None = None,
        skews_ms: Sequence[int] = (),
        **options: Any,
    ) -> Nodes:
        given = list(swarms or [7] * count)
        identities = [NodeIdentity.from_seed(bytes([number + 1]) * 32) for number in range(len(given))]
        infos = node_infos(identities, given)
        snapshot = NetworkSnapshot.of(infos, height=1234, block_hash="ab" * 32, hardfork=hardfork)
        clock = FrozenClock()
        trace, peers = Trace(clock), DirectPeerLink()
        offsets = [*skews_ms, *[0] * len(given)]
        nodes = [
            StorageNode(
                identity,
                info.name,
                clock=SkewedClock(clock, offset_ms=offset),
                peers=peers,
                trace=trace,
                settings=settings,
                exits=exits,
                fault_gate=fault_gate,
                **options,
            )
            for identity, info, offset in zip(identities, infos, offsets[: len(given)], strict=True)
        ]
        for node in nodes:
            node.update_network(snapshot)
            peers.register(node.ed25519_hex, node.handle_peer)

        async def start() -> tuple[list[web.AppRunner], list[str], aiohttp.ClientSession]:
            runners, urls = [], []
            for node in nodes:
                app_runner = web.AppRunner(node.application(), access_log=None, shutdown_timeout=0.5)
                await app_runner.setup()
                await web.TCPSite(app_runner, "127.0.0.1", 0).start()
                runners.append(app_runner)
                urls.append(f"http://127.0.0.1:{app_runner.addresses[0][1]}")
            return runners, urls, aiohttp.ClientSession()

        runners, urls, session = runner.run(start())
        made = Nodes(runner, clock, trace, peers, nodes, identities, snapshot, urls, session)
        started.append((made, runners))
        return made

    yield make

    async def stop() -> None:
        for made, runners in started:
            await made.session.close()
            for app_runner in runners:
                await app_runner.cleanup()
            for node in made.nodes:
                await node.aclose()
                node.close()

    runner.run(stop())


@pytest.fixture
def nodes(make_nodes: MakeNodes) -> Nodes:
    return make_nodes(3)


@pytest.fixture
def alice() -> Account:
    return Account.from_seed(bytes(range(32)))
