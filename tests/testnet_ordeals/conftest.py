"""Ordeals: seeded plans of what goes wrong while messages are sent, and what carries them out."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import session_testnet
from session_protocol.accounts import Account
from session_testnet import LocalNetworkHandle, NetworkOptions, Topology
from session_testnet.client import ClientError, MessagingClient, NetworkClient, SentMessage
from session_testnet.client.network_client import Timeouts
from session_testnet.control.errors import ControlError

NODES, SWARMS = 10, 2
# One account in each of the two swarms that Topology.default(…, swarms=2) makes.
ALICE = Account.from_seed(bytes(range(32)))
BOB = Account.from_seed(bytes([6]) * 32)
OPERATOR = ("kill", "stop", "pause", "partition")
SCHEDULED = ("partition", "crash_after_store", "hang", "drop")
# A member that is frozen lets others wait for five seconds: an attempt must outlast that.
TIMEOUTS = Timeouts(request_s=7, call_s=45)
DELIVERED_S = 30.0


@dataclass(frozen=True)
class Trouble:
    """Something that befalls nodes: by an operator's hand, or by a schedule of faults.

    ``cut_clients`` says on which side of a partition clients are: with the rest (True), on both (False).
    """

    number: int
    kind: str
    nodes: tuple[str, ...]
    scheduled: bool = False
    cut_clients: bool = False
    on_request: int = 1
    for_ms: int | None = None

    def groups(self, everybody: list[str]) -> list[list[str]]:
        """Return the groups of a partition."""
        rest = [name for name in everybody if name not in self.nodes]
        return [list(self.nodes), [*rest, "clients"] if self.cut_clients else rest]

    def toml(self, everybody: list[str]) -> str:
        """Return the schedule, one step for each node or a single one for a partition."""
        head = f'on_request = {self.on_request}\nmatch = {{ method = "store" }}\n'
        if self.for_ms is not None:
            head += f'for = "{self.for_ms}ms"\n'
        if self.kind == "partition":
            # The spelling of lists of texts is the same in TOML and Python but for the quotes.
            groups = str(self.groups(everybody)).replace("'", '"')
            return f'[[fault]]\naction = "partition"\ngroups = {groups}\n{head}'
        more = 'methods = ["store"]\n' if self.kind in ("hang", "drop") else "times = 1\n"
        return "".join(
            f'[[fault]]\naction = "{self.kind}"\nnode = "{name}"\n{more}{head}' for name in self.nodes
        )


@dataclass(frozen=True)
class Ordeal:
    """A plan: steps ("send", n), ("poll", 0), ("begin", trouble), ("end", trouble) and ("join", 0), in order.

    Nothing waits for a step to be done but "join", which waits for what has been sent: whatever befalls
    nodes does so in the midst of requests.
    """

    seed: int
    use_onion: bool
    troubles: tuple[Trouble, ...]
    steps: tuple[tuple[str, int], ...]
    turns: tuple[int, ...]

    @property
    def sends(self) -> int:
        """Return how many messages are sent."""
        return sum(step == "send" for step, _ in self.steps)


def plan(seed: int, swarm_of_bob: list[str], swarm_of_alice: list[str]) -> Ordeal:
    """Draw a plan from a seed: a minority of Bob's swarm suffers, and perhaps a node of Alice's."""
    rng = random.Random(f"ordeal {seed}")
    minority = (len(swarm_of_bob) - 1) // 2
    victims = rng.sample(swarm_of_bob, rng.randint(1, minority))
    if rng.random() < 0.5:
        victims.append(rng.choice(swarm_of_alice))
    # Only few seeds have frozen nodes stay so: everybody waits for these.
    patient = rng.random() < 0.2
    troubles: list[Trouble] = []
    steps: list[tuple[str, int]] = []
    open_ones: list[int] = []
    sent = 0
    for _ in range(3):
        phase: list[tuple[str, int]] = []
        for _ in range(rng.randint(2, 3)):
            phase.append(("send", sent))
            sent += 1
        if rng.random() < 0.5:
            phase.append(("poll", 0))
        rng.shuffle(phase)
        for number in [each for each in open_ones if rng.random() < 0.5]:
            open_ones.remove(number)
            phase.insert(rng.randrange(len(phase) + 1), ("end", number))
        for _ in range(rng.randint(1, 2)):
            trouble = _draw(rng, len(troubles), victims)
            troubles.append(trouble)
            begin = rng.randrange(len(phase) + 1)
            phase.insert(begin, ("begin", trouble.number))
            lasting = trouble.kind not in ("pause", "hang") or patient
            if lasting and rng.random() < 0.7:
                open_ones.append(trouble.number)
            else:
                phase.insert(rng.randint(begin + 1, len(phase)), ("end", trouble.number))
        steps += [*phase, ("join", 0)]
    turns = tuple(rng.choice((0, 0, 1, 3, 10, 40)) for _ in steps)
    return Ordeal(seed, rng.random() < 0.25, tuple(troubles), tuple(steps), turns)


def _draw(rng: random.Random, number: int, victims: list[str]) -> Trouble:
    scheduled = rng.random() < 0.4
    kind = rng.choice(SCHEDULED if scheduled else OPERATOR)
    nodes = tuple(rng.sample(victims, rng.randint(1, len(victims))))
    # What hangs must end by itself: the plan's own end of it may come too late for its request.
    needs_end = kind == "hang" or rng.random() < 0.5
    return Trouble(
        number,
        kind,
        nodes,
        scheduled,
        cut_clients=rng.random() < 0.5,
        on_request=rng.randint(1, 3),
        for_ms=rng.randint(20, 400) if needs_end else None,
    )


@dataclass
class Outcome:
    """What came of it: who got which text how often, and which hashes were acknowledged in whose swarm."""

    acknowledged: dict[str, SentMessage] = field(default_factory=dict)
    received: Counter[str] = field(default_factory=Counter)
    on_new_device: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    owing: int = 0


class Trial:
    """Carry a plan out on a network."""

    def __init__(self, network: LocalNetworkHandle, ordeal: Ordeal) -> None:
        self.network = network
        self.ordeal = ordeal
        self.outcome = Outcome()
        self._names = [node.name for node in network.nodes]
        self._faults: dict[int, str] = {}
        self._acting: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> Outcome:
        """Send, poll and suffer; then heal, and see what has arrived."""
        alice, bob = self._client(ALICE), self._client(BOB)
        try:
            await self._suffer(alice, bob)
            await asyncio.to_thread(self.heal)
            await self._collect(bob, self.outcome.received)
            second = self._client(BOB)
            try:
                await self._collect(second, self.outcome.on_new_device)
            finally:
                await second.network.aclose()
        finally:
            await asyncio.gather(alice.network.aclose(), bob.network.aclose())
        return self.outcome

    def _client(self, account: Account) -> MessagingClient:
        network = NetworkClient(
            account,
            [self.network.state["registry"]["url"]],
            use_onion=self.ordeal.use_onion,
            rng=random.Random(self.ordeal.seed),
            timeouts=TIMEOUTS,
        )
        return MessagingClient(
            account, network, rng=random.Random(self.ordeal.seed), members_per_poll=NODES // SWARMS
        )

    async def _suffer(self, alice: MessagingClient, bob: MessagingClient) -> None:
        sending: set[asyncio.Task[None]] = set()
        polling: list[asyncio.Task[None]] = []
        for (step, number), turns in zip(self.ordeal.steps, self.ordeal.turns, strict=True):
            if step == "send":
                sending.add(asyncio.create_task(self._send(alice, f"message {number}")))
            elif step == "poll":
                # One client polls once at a time.
                before = polling[-1] if polling else None
                polling.append(asyncio.create_task(self._poll(bob, before)))
            elif step == "join":
                await asyncio.gather(*self._acting.values(), *sending)
                sending.clear()
            else:
                before = self._acting.get(number)
                self._acting[number] = asyncio.create_task(self._act(step, number, before))
            for _ in range(turns):
                await asyncio.sleep(0)
        await asyncio.gather(*polling)

    async def _send(self, alice: MessagingClient, text: str) -> None:
        try:
            sent = await alice.send(BOB.account_id, {"kind": "text", "body": text})
        except ClientError as failure:
            self.outcome.failures.append(f"{text}: {failure.message}")
        else:
            self.outcome.acknowledged[text] = sent

    async def _poll(self, bob: MessagingClient, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before
        try:
            self._count(self.outcome.received, await bob.poll())
        except ClientError as failure:
            self.outcome.failures.append(f"poll: {failure.message}")

    async def _act(self, step: str, number: int, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before
        act = self._begin if step == "begin" else self._end
        await asyncio.to_thread(act, self.ordeal.troubles[number])

    def _begin(self, trouble: Trouble) -> None:
        if trouble.scheduled:
            self.network.faults.schedule(trouble.toml(self._names))
        elif trouble.kind == "partition":
            rule = {"action": "partition", "groups": trouble.groups(self._names)}
            self._faults[trouble.number] = self.network.faults.add(rule)
        else:
            for name in trouble.nodes:
                node = self.network.node(name)
                try:
                    getattr(node, trouble.kind)()
                except ControlError as refusal:
                    # Another trouble has just ended the node: it cannot be frozen.
                    if trouble.kind != "pause" or "it is stopped" not in refusal.message:
                        raise

    def _end(self, trouble: Trouble) -> None:
        if trouble.kind == "partition" and not trouble.scheduled:
            self.network.faults.clear(self._faults[trouble.number])
        elif trouble.kind in ("kill", "stop", "crash_after_store", "pause"):
            for name in trouble.nodes:
                node = self.network.node(name)
                if trouble.kind == "pause":
                    node.resume()
                else:
                    node.start()

    def heal(self) -> None:
        """End all troubles, and let members deliver what they owe each other."""
        self.network.faults.clear()
        for node in self.network.nodes:
            node.resume()
            node.start()
        assert {node.status()["status"] for node in self.network.nodes} == {"running"}
        # A fault of a schedule may have begun meanwhile.
        self.network.faults.clear()
        self.outcome.owing = self.network.settle()

    async def _collect(self, client: MessagingClient, counts: Counter[str]) -> None:
        """Poll until everything that was acknowledged has come, and once more for what comes twice."""
        async with asyncio.timeout(DELIVERED_S):
            while not self.outcome.acknowledged.keys() <= counts.keys():
                self._count(counts, await client.poll())
        self._count(counts, await client.poll())

    @staticmethod
    def _count(counts: Counter[str], received: Any) -> None:
        counts.update(message.content["body"] for message in received if message.content["kind"] == "text")

    def held(self, account: Account) -> dict[str, set[str]]:
        """Return the hashes that each member of an account's swarm holds."""
        return {
            node.name: {
                message["hash"] for message in self.network.stored_messages(node.name, account.account_id)
            }
            for node in self.network.swarm(account.account_id)
        }


@pytest.fixture
def undergo() -> Callable[[str, int], Trial]:
    """Return a function that lets a network on an engine undergo the ordeal of a seed.

    It asserts what every ordeal must leave true, and returns the trial.
    """

    def run(engine: str, seed: int) -> Trial:
        topology = Topology.default(NODES, seed="ordeals", swarms=SWARMS)
        with session_testnet.open_local(topology, NetworkOptions(engine=engine)) as network:
            swarms = [[node.name for node in network.swarm(who.account_id)] for who in (BOB, ALICE)]
            trial = Trial(network, plan(seed, *swarms))
            asyncio.run(trial.run())
            judge(trial)
        return trial

    return run


def judge(trial: Trial) -> None:
    """Assert that what was acknowledged is delivered exactly once, and held by all members alike."""
    outcome = trial.outcome
    assert outcome.acknowledged, f"nothing was acknowledged: {outcome.failures}"
    if not trial.ordeal.use_onion:
        assert len(outcome.acknowledged) == trial.ordeal.sends, outcome.failures
    for counts in (outcome.received, outcome.on_new_device):
        assert outcome.acknowledged.keys() <= counts.keys(), "what was acknowledged is delivered"
        assert set(counts.values()) == {1}, f"a message came more than once: {counts}"
    assert outcome.owing == 0, "members still owe each other something"
    for account, wanted in (
        (BOB, {sent.hash for sent in outcome.acknowledged.values()}),
        (ALICE, {sent.sync_hash for sent in outcome.acknowledged.values() if sent.sync_hash}),
    ):
        held = trial.held(account)
        assert len(set(map(frozenset, held.values()))) == 1, f"members hold different sets: {held}"
        assert wanted <= next(iter(held.values())), "what was acknowledged is held"


@pytest.fixture
def draw_plan() -> Callable[[int], Ordeal]:
    """Return a function that draws the plan of a seed for swarms that are spelled out."""
    names = [f"node-{number:02d}" for number in range(1, NODES + 1)]
    return lambda seed: plan(seed, names[::2], names[1::2])
