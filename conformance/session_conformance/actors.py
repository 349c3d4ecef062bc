"""Give suites people: an account of a testee on a network, who sends and polls through the contract."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from session_conformance import strategies
from session_conformance.contract import Testee
from session_protocol.accounts import Account

# Polls without news before a wait is given up: replication ends before a store is answered, so that the
# first poll finds the message; another member, or a client that reads one namespace a round, may need the
# others.
MAX_POLLS = 4


class NetworkAccess:
    """Hold what a client must know of a network to join it (testee-operations §3)."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        """Take a network's state file as a mapping."""
        self.state = state

    def parameters(self, testee: Testee) -> dict[str, Any]:
        """Return the ``network`` parameter of ``client.create`` for this testee."""
        files = self.state["files"]
        return {
            "seed_urls": [self.state["registry"]["url"]],
            "gateway_url": self.state["gateway"]["url"],
            "file_server": {"url": files["url"], "x25519_pk": files["pubkey_x25519"]},
            "use_onion": testee.hello.features.get("network") in ("onion", "both"),
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
    def join(cls, testee: Testee, access: NetworkAccess, name: str, rng: random.Random) -> "Actor":
        """Restore a new account in the testee; it must report the Account ID of its seed."""
        account = Account.from_seed(rng.randbytes(16))
        while not strategies.is_ordinary(account):
            account = Account.from_seed(rng.randbytes(16))
        alias = f"{name}-{account.account_id[2:10]}"
        created = testee.call(
            "client.create",
            account=alias,
            seed_hex=account.entropy.hex(),
            words=account.recovery_password,
            display_name=name,
            network=access.parameters(testee),
            device=f"{name}-1",
        )
        assert created["session_id"] == account.account_id, "the testee restored another account"
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
        """Poll once; remember and return what came."""
        news: list[dict[str, Any]] = self.call("client.poll")["messages"]
        self.received += news
        return news

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], count: int = 1) -> list[dict[str, Any]]:
        """Poll until ``count`` wanted messages came, at most a few rounds; fail with what came instead."""
        for _ in range(MAX_POLLS):
            found = [message for message in self.received if wanted(message)]
            if len(found) >= count:
                return found
            self.poll()
        found = [message for message in self.received if wanted(message)]
        assert len(found) >= count, (
            f"{self.name} waited for {count} message(s) in {MAX_POLLS} polls, {len(found)} came; "
            f"everything received: {summary(self.received)}"
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
