"""Give suites people: an account of a testee on a network, who sends and polls through the contract."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from session_conformance import strategies
from session_conformance.contract import Rejected, Testee, TesteeError
from session_conformance.testnet_errors import TooFewNodes
from session_protocol.accounts import Account

# Three relays and a destination (client-protocol §6.2).
ONION_NODES = 4

# Polls without news before a wait is given up: replication ends before a store is answered, so that the
# first poll finds the message; another member, or a client that reads one namespace a round, may need the
# others.
MAX_POLLS = 4


class NetworkAccess:
    """Hold what a client must know of a network to join it (testee-operations §3).

    ``nodes_down`` says how many nodes a check is going to stop: clients have to do with the others.
    """

    def __init__(self, state: Mapping[str, Any], *, nodes_down: int = 0) -> None:
        """Take a network's state file as a mapping."""
        self.state = state
        self.nodes_down = nodes_down
        self.nodes_left = len(state["nodes"]) - nodes_down

    def with_nodes_down(self, count: int) -> "NetworkAccess":
        """Return the same network for a check that stops ``count`` nodes."""
        return NetworkAccess(self.state, nodes_down=count)

    def largest_swarm(self) -> int:
        """Return how many members the largest swarm has."""
        return max(Counter(node["swarm_id"] for node in self.state["nodes"]).values())

    def uses_onion(self, testee: Testee) -> bool:
        """Tell whether the testee is to send onion requests: where it may choose, if they are possible."""
        kind = testee.hello.feature("network")
        return kind == "onion" or (kind == "both" and self.nodes_left >= ONION_NODES)

    def admit(self, testee: Testee) -> None:
        """Raise TooFewNodes when the testee cannot live on this network; its ``limits`` may say how many."""
        fewest = testee.hello.limits.get("min_nodes")
        if not isinstance(fewest, int):
            fewest = ONION_NODES if self.uses_onion(testee) else 1
        if self.nodes_left < fewest:
            stopped = f", of which this check stops {self.nodes_down}" if self.nodes_down else ""
            raise TooFewNodes(
                f"{testee.participant or testee.name} needs {fewest} service nodes, the network has "
                f"{len(self.state['nodes'])}{stopped}"
            )

    def parameters(self, testee: Testee) -> dict[str, Any]:
        """Return the ``network`` parameter of ``client.create`` for this testee."""
        files = self.state["files"]
        return {
            "seed_urls": [self.state["registry"]["url"]],
            "gateway_url": self.state["gateway"]["url"],
            "file_server": {"url": files["url"], "x25519_pk": files["pubkey_x25519"]},
            "use_onion": self.uses_onion(testee),
            "tls_verify": False,
        }


@dataclass(slots=True)
class Actor:
    """A person: one account, living in one testee, on one network."""

    testee: Testee
    name: str
    account: Account
    received: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def join(
        cls, testee: Testee, access: NetworkAccess, name: str, rng: random.Random, *, by_words: bool = False
    ) -> "Actor":
        """Restore a new account in the testee, from its seed or its words; it must report its Account ID.

        Raise TooFewNodes for a network that is too small for the testee.
        """
        access.admit(testee)
        account = Account.from_seed(rng.randbytes(16))
        while not strategies.is_ordinary(account):
            account = Account.from_seed(rng.randbytes(16))
        alias = f"{name}-{account.account_id[2:10]}"
        secret: dict[str, Any] = (
            {"words": account.recovery_password} if by_words else {"seed_hex": account.entropy.hex()}
        )
        created = testee.call(
            "client.create",
            account=alias,
            **secret,
            display_name=name,
            network=access.parameters(testee),
            device=f"{name}-1",
        )
        if created["session_id"] != account.account_id:
            raise contradiction_by(testee, "the testee restored another account")
        return cls(testee, alias, account)

    @property
    def account_id(self) -> str:
        """Return this person's Account ID."""
        return self.account.account_id

    def call(self, op: str, **params: Any) -> dict[str, Any]:
        """Carry out a stateful operation as this person."""
        return self.testee.call(op, account=self.name, **params)

    def send(self, to: "Actor", body: str, **fields: Any) -> dict[str, Any]:
        """Send a text; return timestamp and hashes."""
        return self.call("client.send", to=to.account_id, content={"kind": "text", "body": body, **fields})

    def poll(self) -> list[dict[str, Any]]:
        """Poll once; remember and return what came, also what a testee that pushes has sent by itself."""
        news: list[dict[str, Any]] = list(self.call("client.poll")["messages"])
        news += [dict(event.data) for event in self.testee.take_events("message", account=self.name)]
        self.received += news
        return news

    def wait_for(
        self,
        wanted: Callable[[dict[str, Any]], bool],
        count: int = 1,
        *,
        polls: int = MAX_POLLS,
        through_failures: bool = False,
    ) -> list[dict[str, Any]]:
        """Poll until ``count`` wanted messages came, at most a few rounds; fail with what came instead.

        With ``through_failures`` a poll that the testee refuses is a round without news: a client may give a
        round up and ask other members in the next one.
        """
        refusals: list[str] = []
        found = [message for message in self.received if wanted(message)]
        for _ in range(polls):
            if len(found) >= count:
                return found
            try:
                self.poll()
            except Rejected as refusal:
                if not through_failures or refusal.participant:
                    raise
                refusals.append(refusal.message)
            found = [message for message in self.received if wanted(message)]
        if len(found) < count:
            refused = f"; {len(refusals)} poll(s) failed, the last one: {refusals[-1]}" if refusals else ""
            raise AssertionError(
                f"{self.name} waited for {count} message(s) in {polls} polls, {len(found)} came; "
                f"everything received: {summary(self.received)}{refused}"
            )
        return found

    def texts_from(self, sender: "Actor") -> list[str]:
        """Return the bodies received from ``sender``, in order of arrival."""
        return [
            message["content"].get("body", "") for message in self.received if from_sender(sender)(message)
        ]

    def leave(self) -> None:
        """Close the client, if the testee offers that."""
        if self.testee.supports("client.close"):
            self.call("client.close")


def contradiction_by(testee: Testee, sentence: str) -> Exception:
    """Make the error of a participant that contradicts a requirement: only the judged testee fails by it."""
    if not testee.participant:
        return AssertionError(sentence)
    error = TesteeError(sentence)
    error.participant = testee.participant
    return error


def from_sender(sender: Actor) -> Callable[[dict[str, Any]], bool]:
    """Select incoming messages of one sender (a synchronised copy of an own message is none)."""

    def wanted(message: dict[str, Any]) -> bool:
        return message["sender"] == sender.account_id and not message.get("outgoing")

    return wanted


def of_kind(kind: str, sender: Actor) -> Callable[[dict[str, Any]], bool]:
    """Select incoming messages of one kind from one sender."""

    def wanted(message: dict[str, Any]) -> bool:
        return from_sender(sender)(message) and message["content"]["kind"] == kind

    return wanted


def summary(messages: Sequence[Mapping[str, Any]]) -> str:
    """Describe received messages in a line, for failure texts."""
    if not messages:
        return "nothing"
    return "; ".join(_line(message) for message in messages)


def _line(message: Mapping[str, Any]) -> str:
    content = message["content"]
    copy = " (own copy)" if message.get("outgoing") else ""
    return f"{content.get('kind')} {content.get('body', '')!r:.60} from {message['sender'][:10]}…{copy}"
