"""A swarm under everything at once, against a model that knows what it has acknowledged."""

import base64
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import session_testnet
from session_protocol.accounts import Account
from session_protocol.storage_auth import message_hash, sign_request
from session_testnet import Topology

DAY_MS = 86_400_000
# Expiries lie half a day beside the whole days by which the clock moves: none is ever a close call.
HALF_DAY_MS = DAY_MS // 2
# One in each of the swarms 0 and 2**63, to begin with; the second moves when there is one of 2**62.
ENTRIES = st.integers(0, 5)
STORES = st.fixed_dictionaries(
    {
        "who": st.integers(0, 1),
        "namespace": st.sampled_from((0, 5)),
        "text": st.integers(0, 5),
        "days": st.integers(1, 6),
        "entry": ENTRIES,
    }
)
ACCOUNTS = (Account.from_seed(bytes(range(32))), Account.from_seed(bytes([6]) * 32))
NAMESPACES = (0, 5)
MAX_NODES = 8
NEW_SWARM = f"{2**62:x}"


@dataclass
class Message:
    """An acknowledged message: who holds it for sure, and between which times it may expire.

    ``witnesses`` are those that acknowledged its last store: each of them can give it to all others.

    Where a member was away, a change of expiry that it made or missed may win or lose against others: then
    the message may go from ``earliest`` on, and must be gone at ``latest``.
    """

    earliest: int
    latest: int
    holders: set[str] = field(default_factory=set)
    witnesses: set[str] = field(default_factory=set)


class Swarm(RuleBasedStateMachine):
    """Clients and an operator act on a network; whatever a node acknowledged must come true."""

    def __init__(self) -> None:
        super().__init__()
        self.network = session_testnet.open_local(Topology.default(6, seed="machine", swarms=2))
        self.epoch = self.network.clock.now_ms()
        self.stopped: set[str] = set()
        self.decommissioned: set[str] = set()
        # Whether everything that was acknowledged is on all members.
        self.in_sync = True
        # Who has acknowledged each change that is not on all members yet.
        self.witnesses: list[set[str]] = []
        self.messages: dict[tuple[int, int, bytes], Message] = {}
        # Messages that a node may have lost and got again, at the end: deleted or expired, and stored again,
        # or kept alive while it was away and had let them expire.
        self.came_back: set[str] = set()
        # The order in which each node acknowledged messages that were new to it.
        self.order: dict[str, list[str]] = defaultdict(list)
        # What each node has acknowledged to be deleted, and nobody has stored since.
        self.deleted: dict[str, set[str]] = defaultdict(set)

    def teardown(self) -> None:
        try:
            self.everybody_comes_back()
        finally:
            self.network.close()

    # --- what clients do ----------------------------------------------------------------------------

    @rule(stores=st.lists(STORES, min_size=1, max_size=4))
    def stores(self, stores: list[dict[str, int]]) -> None:
        """Store some messages, new or known."""
        for each in stores:
            self.store(**each)

    def store(self, who: int, namespace: int, text: int, days: int, entry: int) -> None:
        account, data = ACCOUNTS[who], bytes([text])
        now = self.tick()
        expiry = self.in_days(days)
        params = {"timestamp": now, "expiry": expiry, "data": base64.b64encode(data).decode()}
        if namespace:
            params["namespace"] = namespace
        swarm = self.ask(who, entry, "store", sign_request(account, "store", params))
        if swarm is None:
            return
        key, name = (who, namespace, data), self.name_of((who, namespace, data))
        known = self.messages.get(key)
        if known is None:
            if any(name in gone for gone in self.deleted.values()):
                self.came_back.add(name)
            for gone in self.deleted.values():
                gone.discard(name)
            known = self.messages[key] = Message(expiry, expiry)
        elif not self.in_sync:
            self.came_back.add(name)
        known.earliest = max(known.earliest, expiry)
        known.latest = max(known.latest, expiry)
        known.holders, known.witnesses = set(swarm), set(swarm)
        for node, entry_of_node in swarm.items():
            assert entry_of_node["hash"] == name
            if not entry_of_node.get("already"):
                self.order[node].append(name)

    @precondition(lambda self: self.messages)
    @rule(number=st.integers(0, 20), entry=ENTRIES)
    def delete(self, number: int, entry: int) -> None:
        """Delete a message by hash."""
        key = self.pick(number)
        who = key[0]
        self.tick()
        params = {"messages": [self.name_of(key)]}
        swarm = self.ask(who, entry, "delete", sign_request(ACCOUNTS[who], "delete", params))
        if swarm is not None:
            self.gone([key], swarm)

    @precondition(lambda self: len(self.messages) > 2)
    @rule(who=st.integers(0, 1), namespace=st.sampled_from((*NAMESPACES, "all")), entry=ENTRIES)
    def delete_all(self, who: int, namespace: int | str, entry: int) -> None:
        """Delete everything of a namespace or of the account."""
        params = {"timestamp": self.tick(), "namespace": namespace}
        swarm = self.ask(who, entry, "delete_all", sign_request(ACCOUNTS[who], "delete_all", params))
        if swarm is not None:
            self.gone([key for key in self.messages if key[0] == who and namespace in ("all", key[1])], swarm)

    @precondition(lambda self: self.messages)
    @rule(
        number=st.integers(0, 20),
        days=st.integers(1, 9),
        mode=st.sampled_from(("shorten", "extend")),
        entry=ENTRIES,
    )
    def expire(self, number: int, days: int, mode: str, entry: int) -> None:
        """Shorten or extend the life of a message."""
        key = self.pick(number)
        who = key[0]
        self.tick()
        expiry = self.in_days(days)
        params = {"messages": [self.name_of(key)], "expiry": expiry, mode: True}
        swarm = self.ask(who, entry, "expire", sign_request(ACCOUNTS[who], "expire", params))
        if swarm is None:
            return
        message = self.messages[key]
        if mode == "shorten":
            message.earliest = min(message.earliest, expiry)
            message.latest = min(message.latest, expiry) if self.in_sync else message.latest
        else:
            if not self.in_sync:
                self.came_back.add(self.name_of(key))
            message.latest = max(message.latest, expiry)
            message.earliest = max(message.earliest, expiry) if self.in_sync else message.earliest

    # --- what the operator does ---------------------------------------------------------------------

    @precondition(lambda self: self.messages)
    @rule(days=st.integers(1, 2))
    def time_passes(self, days: int) -> None:
        """Move the clock; what has expired is purged."""
        self.network.clock.move(days * DAY_MS)
        self.network.purge()
        now = self.now()
        for key, message in list(self.messages.items()):
            if message.latest <= now:
                # It may be stored again: as a new message.
                self.came_back.add(self.name_of(key))
                del self.messages[key]

    @precondition(lambda self: len(self.running()) > 1)
    @rule(number=st.integers(0, MAX_NODES))
    def node_stops(self, number: int) -> None:
        """Stop a node."""
        running = self.running()
        name = running[number % len(running)]
        self.network.node(name).stop()
        self.stopped.add(name)

    @precondition(lambda self: self.stopped)
    @rule(number=st.integers(0, MAX_NODES))
    def node_starts(self, number: int) -> None:
        """Start a node that was stopped; running members give it at once what it missed."""
        name = sorted(self.stopped)[number % len(self.stopped)]
        self.network.node(name).start()
        self.stopped.discard(name)
        self.settle()

    @rule(stores=STORES, missing=st.integers(0, MAX_NODES), leaves=st.booleans())
    def asked_node_ends(self, stores: dict[str, int], missing: int, leaves: bool) -> None:
        """A member misses a message, and before it is back the node ends, or leaves, that was asked."""
        members = self.running_members(stores["who"])
        if len(members) < 3:
            return
        absent = members.pop(missing % len(members))
        asked = members[stores["entry"] % len(members)]
        # A member that has nothing would be given everything, whatever it has missed.
        self.store(**{**stores, "text": 5 - stores["text"]})
        self.network.node(absent).stop()
        self.stopped.add(absent)
        self.store(**stores)
        self.network.node(asked).stop()
        self.stopped.add(asked)
        if leaves:
            self.node_leaves([node.name for node in self.network.nodes].index(asked))
        self.network.node(absent).start()
        self.stopped.discard(absent)
        self.settle()

    @rule(
        change=st.sampled_from(("joins", "founds", "leaves", "decommissioned", "recommissioned")),
        number=st.integers(0, MAX_NODES),
    )
    def membership_changes(self, change: str, number: int) -> None:
        """Let a node join or leave, or take one out of its swarm or into one."""
        match change:
            case "joins" | "founds" if len(self.network.nodes) < MAX_NODES:
                self.node_joins(new_swarm=change == "founds")
            case "leaves":
                self.node_leaves(number)
            case "decommissioned":
                self.node_is_decommissioned(number)
            case "recommissioned" if self.decommissioned:
                self.node_is_recommissioned(number)

    def node_joins(self, *, new_swarm: bool) -> None:
        """Let a node join the smallest swarm, or found one, to which accounts may then move."""
        node = self.network.add_node(swarm_id=NEW_SWARM if new_swarm else None)
        self.order.pop(node.name, None)
        self.deleted.pop(node.name, None)
        self.in_sync = self.in_sync and not self.stopped
        self.settle()

    def node_leaves(self, number: int) -> None:
        """Let a node leave, if others can take over what it has."""
        nodes = self.network.nodes
        node = nodes[number % len(nodes)]
        rest = [each.name for each in nodes if each.name not in (node.name, *self.decommissioned)]
        heirs = [
            each.name
            for each in nodes
            if each.name in rest and each.swarm_id == node.swarm_id and each.name not in self.stopped
        ]
        # A stopped node takes along what it alone has acknowledged, and one without heirs what it alone has.
        takes_along = node.name in self.stopped and any(each <= {node.name} for each in self.witnesses)
        if not heirs or takes_along or node.name in self.decommissioned:
            return
        self.network.remove_node(node.name)
        self.stopped.discard(node.name)
        self.order.pop(node.name, None)
        self.deleted.pop(node.name, None)
        for message in self.messages.values():
            message.holders.discard(node.name)
            message.witnesses.discard(node.name)
        for witnesses in self.witnesses:
            witnesses.discard(node.name)
        self.settle()

    def node_is_decommissioned(self, number: int) -> None:
        """Take a node out of its swarm; with its last member a swarm dissolves."""
        active = [node for node in self.network.nodes if node.name not in self.decommissioned]
        if len(active) > 1:
            node = active[number % len(active)]
            node.decommission()
            self.decommissioned.add(node.name)
            self.in_sync = self.in_sync and not self.stopped
            self.settle()

    def node_is_recommissioned(self, number: int) -> None:
        """Take a node into a swarm again."""
        name = sorted(self.decommissioned)[number % len(self.decommissioned)]
        self.network.node(name).recommission()
        self.decommissioned.discard(name)
        self.in_sync = self.in_sync and not self.stopped
        self.settle()

    @precondition(lambda self: self.stopped)
    @rule()
    def everybody_comes_back(self) -> None:
        """Start all nodes: then all members must have exactly what was acknowledged."""
        for name in sorted(self.stopped):
            self.network.node(name).start()
        self.stopped.clear()
        self.settle()

    # --- what must hold -----------------------------------------------------------------------------

    @invariant()
    def acknowledged_is_true(self) -> None:
        """Nothing lost, resurrected, duplicated or misordered, on any running node."""
        now = self.now()
        for who, account in enumerate(ACCOUNTS):
            members = {node.name for node in self.network.swarm(account.account_id)}
            for node in sorted(members - self.stopped):
                for namespace in NAMESPACES:
                    self.check_node(node, who, namespace, now)

    def check_node(self, node: str, who: int, namespace: int, now: int) -> None:
        held = self.network.stored_messages(node, ACCOUNTS[who].account_id, namespace)
        names = [message["hash"] for message in held]
        assert len(names) == len(set(names)), f"{node} has a message twice: {names}"
        assert not self.deleted[node].intersection(names), f"{node} has a message that it deleted"
        expected = {self.name_of(key): message for key, message in self.messages.items()
                    if key[:2] == (who, namespace)}  # fmt: skip
        lost = {
            name
            for name, message in expected.items()
            if message.earliest > now and (self.in_sync or node in message.holders)
        } - set(names)
        assert not lost, f"{node} has lost {lost}"
        if self.in_sync:
            assert not set(names) - set(expected), f"{node} has kept what is deleted or expired"
            for message in held:
                known = expected[message["hash"]]
                assert known.earliest <= message["expiration"] <= known.latest
        order = [name for name in self.order[node] if name in names and name not in self.came_back]
        assert order == [name for name in names if name in order], f"{node} has changed the order"

    # --- helpers ------------------------------------------------------------------------------------

    def now(self) -> int:
        return self.network.clock.now_ms()

    def tick(self) -> int:
        """Let a second pass: no two requests are simultaneous."""
        self.network.clock.move(1000)
        return self.now()

    def in_days(self, days: int) -> int:
        """Return a time that many days and a half ahead, counted from the machine's first moment."""
        passed = (self.now() - self.epoch) // DAY_MS
        return self.epoch + (passed + days) * DAY_MS + HALF_DAY_MS

    def running(self) -> list[str]:
        return [node.name for node in self.network.nodes if node.name not in self.stopped]

    def running_members(self, who: int) -> list[str]:
        members = self.network.swarm(ACCOUNTS[who].account_id)
        return [node.name for node in members if node.name not in self.stopped]

    def name_of(self, key: tuple[int, int, bytes]) -> str:
        who, namespace, data = key
        return message_hash(bytes.fromhex(ACCOUNTS[who].account_id), namespace, data)

    def pick(self, number: int) -> tuple[int, int, bytes]:
        keys = sorted(self.messages)
        return keys[number % len(keys)]

    def ask(self, who: int, entry: int, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        """Ask a running member; return the entries of those that did it, by name, or None without one."""
        members = self.network.swarm(ACCOUNTS[who].account_id)
        running = self.running_members(who)
        if not running:
            return None
        answer = self.network.storage_rpc(running[entry % len(running)], method, params)
        assert answer["status"] == 200, answer
        names = {node.pubkey_ed25519: node.name for node in members}
        entries = {names[key]: each for key, each in answer["body"]["swarm"].items()}
        assert {name for name, each in entries.items() if each.get("failed")} == (
            {node.name for node in members} & self.stopped
        )
        done = {name: each for name, each in entries.items() if not each.get("failed")}
        if len(running) < len(members):
            self.in_sync = False
            self.witnesses.append(set(done))
        return done

    def gone(self, keys: list[tuple[int, int, bytes]], swarm: dict[str, Any]) -> None:
        for key in keys:
            self.messages.pop(key, None)
            for node in swarm:
                self.deleted[node].add(self.name_of(key))

    def settle(self) -> None:
        assert self.network.settle() == 0
        if not self.stopped:
            self.in_sync = True
            self.witnesses.clear()
        running = set(self.running())
        for (who, _, _), message in self.messages.items():
            if message.witnesses & running:
                members = {node.name for node in self.network.swarm(ACCOUNTS[who].account_id)}
                message.holders |= members & running


PROFILE = settings(
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


def test_a_swarm_keeps_what_it_acknowledges() -> None:
    run_state_machine_as_test(Swarm, settings=settings(PROFILE, max_examples=30, stateful_step_count=30))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_swarm_keeps_what_it_acknowledges_for_long() -> None:
    run_state_machine_as_test(Swarm, settings=settings(PROFILE, max_examples=200, stateful_step_count=50))
