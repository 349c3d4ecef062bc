"""The push of new messages to those who asked for it: push servers, mostly (storage-rpc §12)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from session_protocol import bencode
from session_protocol.bencode import Bencoded
from session_protocol.errors import BadFormat, BadSignature
from session_testnet.services.storage.bt_form import to_bt
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.monitor.request import (
    BAD_ARGUMENTS,
    BAD_SIGNATURE,
    BAD_TIMESTAMP,
    WRONG_SWARM,
    MonitorRequest,
    Refused,
    Reply,
    check_signature,
    parse_request,
)
from session_testnet.services.storage.stored import StoredMessage

LIFE_MS: Final = 65 * 60 * 1000
PUSH_COMMAND: Final = b"notify.message"
ENDED_COMMAND: Final = b"notify.monitor_ended"

_OLDEST_S: Final = 14 * 24 * 3600
_NEWEST_S: Final = 24 * 3600
_OTHER_SWARM: Final = "Account does not belong to the swarm of this service node"


class Subscriber(Protocol):
    """Somebody whom a node tells of new messages, over whatever connects the two; equal ones are one."""

    @property
    def push(self) -> Callable[[bytes, bytes], bool]:
        """Return what sends the subscriber a command and its bt body; False means that it has gone."""

    def __hash__(self) -> int: ...


@dataclass(slots=True)
class _Subscription:
    """What one subscriber wants to hear of an account, until when (milliseconds of the node's clock)."""

    namespaces: frozenset[int]
    with_data: bool
    expires_ms: int


class Monitor:
    """Keep the subscriptions of one node, one for each account and subscriber, and serve them."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._subscriptions: dict[bytes, dict[Subscriber, _Subscription]] = {}
        self._swept_ms = 0

    def __len__(self) -> int:
        """Return how many subscriptions there are, some of which may have run out."""
        return sum(map(len, self._subscriptions.values()))

    def subscribe(self, subscriber: Subscriber, data: Sequence[bytes]) -> bytes:
        """Answer the data of ``monitor.messages``: one dictionary, or a list of them, in bt."""
        self._sweep()
        try:
            asked = bencode.decode(data[0]) if len(data) == 1 else None
        except BadFormat as error:
            return bencode.encode({"errcode": BAD_ARGUMENTS, "error": f"Invalid arguments: {error}"})
        if isinstance(asked, list):
            return bencode.encode([self._answer(subscriber, each) for each in asked])
        return bencode.encode(self._answer(subscriber, asked))

    def announce(self, message: StoredMessage) -> None:
        """Push a message that is new on this node to those who want to hear of it."""
        subscribed = self._subscriptions.get(message.account)
        if not subscribed:
            return
        now = self._context.now_ms()
        body: Reply = {
            "@": message.account,
            "h": message.hash,
            "n": message.namespace,
            "t": message.timestamp,
            "z": message.expiry,
        }
        for subscriber, subscription in tuple(subscribed.items()):
            if subscription.expires_ms > now and message.namespace in subscription.namespaces:
                pushed = {**body, "~": message.data} if subscription.with_data else body
                subscriber.push(PUSH_COMMAND, bencode.encode(pushed))

    def network_changed(self) -> None:
        """End the subscriptions to accounts that this node's swarm does not keep any more."""
        if not self._context.profile.watches_swarm_of_subscribers:
            return
        now = self._context.now_ms()
        for account in [each for each in self._subscriptions if not self._is_ours(each)]:
            body = {"@": account, "errcode": WRONG_SWARM, "error": _OTHER_SWARM, **self._swarm(account)}
            encoded = bencode.encode(body)
            for subscriber, subscription in self._subscriptions.pop(account).items():
                if subscription.expires_ms > now:
                    subscriber.push(ENDED_COMMAND, encoded)

    def forget(self, subscriber: Subscriber) -> None:
        """Drop the subscriptions of somebody who cannot be told any more."""
        for account, subscribed in tuple(self._subscriptions.items()):
            subscribed.pop(subscriber, None)
            if not subscribed:
                del self._subscriptions[account]

    def _answer(self, subscriber: Subscriber, asked: "Bencoded | None") -> Reply:
        try:
            request = parse_request(asked)
            self._check(request)
        except Refused as refused:
            return refused.reply
        self._add(subscriber, request)
        return {"success": 1}

    def _check(self, request: MonitorRequest) -> None:
        age_s = self._context.now_ms() // 1000 - request.timestamp_s
        if not -_NEWEST_S <= age_s <= _OLDEST_S:
            what = "too old" if age_s > 0 else "in the future"
            raise Refused(BAD_TIMESTAMP, f"Invalid t= signature timestamp: timestamp is {what}")
        try:
            check_signature(
                request.payload,
                request.signature,
                account=request.account,
                key=request.key,
                subaccount=request.subaccount,
            )
        except BadSignature as error:
            raise Refused(BAD_SIGNATURE, str(error)) from None
        if self._context.profile.watches_swarm_of_subscribers and not self._is_ours(request.account):
            raise Refused(WRONG_SWARM, _OTHER_SWARM, **self._swarm(request.account))

    def _add(self, subscriber: Subscriber, request: MonitorRequest) -> None:
        """Keep a subscription; what the subscriber has already asked for the account stays part of it."""
        now = self._context.now_ms()
        subscribed = self._subscriptions.setdefault(request.account, {})
        before = subscribed.get(subscriber)
        if before is None or before.expires_ms <= now:
            before = _Subscription(frozenset(), with_data=False, expires_ms=0)
        subscribed[subscriber] = _Subscription(
            before.namespaces.union(request.namespaces),
            before.with_data or request.with_data,
            now + LIFE_MS,
        )

    def _sweep(self) -> None:
        """Drop what has run out, once in the life of a subscription; also when the clock was set back."""
        now = self._context.now_ms()
        if abs(now - self._swept_ms) < LIFE_MS:
            return
        self._swept_ms = now
        for account, subscribed in tuple(self._subscriptions.items()):
            kept = {each: wanted for each, wanted in subscribed.items() if wanted.expires_ms > now}
            self._subscriptions[account] = kept
            if not kept:
                del self._subscriptions[account]

    def _is_ours(self, account: bytes) -> bool:
        node = self._context
        return node.own_swarm is not None and node.known_network().swarm_of(account)[0] == node.own_swarm

    def _swarm(self, account: bytes) -> Mapping[str, Any]:
        body = self._context.swarm_body(account)
        return {"snodes": to_bt(body["snodes"]), "swarm": body["swarm"]}
