"""Apply fault rules to what storage nodes are asked and to what they answer."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pybase64

from session_protocol.accounts import account_bytes
from session_protocol.errors import InvalidId
from session_testnet.faults.lies import can_be_truncated, foreign, forged, time_of, truncated
from session_testnet.faults.request_watch import RequestWatch
from session_testnet.faults.rules import ADDING_ACTIONS, FaultRule, FaultSource, Strike
from session_testnet.faults.waiting import Sleep, sleep_unless
from session_testnet.services.storage.fields import BtParams
from session_testnet.services.storage.results import NoAnswer, RpcResult
from session_testnet.trace import Trace

# How long "hang" keeps a client waiting that does not leave: longer than any client's own patience.
HANG_LIMIT_S = 300.0

SwarmAnswer = Callable[[str, str], Mapping[str, Any]]
SetSkew = Callable[[str, int], None]
Kill = Callable[[str], None]

# The texts that nodes send with a status, where they do not depend on the method (storage-rpc §2.1, §8).
_TEXTS: Mapping[int, str] = {
    400: "invalid request: refused by a fault rule",
    403: "Forbidden: refused by a fault rule",
    404: "Not Found",
    410: "long polling is no longer supported, client upgrade required",
    413: "Request body too large",
    429: "Too Many Requests\n",
    500: "request failed",
    502: "oxend returned unparsable data",
    503: "Service node is not ready: not done syncing\n",
    504: "Request time out",
}
# Methods that name an account and answer for any: no node refuses them as the wrong swarm (storage-rpc §8).
_ANSWERED_FOR_ANY_ACCOUNT = frozenset({"get_swarm", "get_snodes_for_pubkey"})
# The word that a method's 401 text begins with, where it is not the method's name (storage-rpc §6.3).
_SIGNATURE_TEXTS: Mapping[str, str] = {
    "delete": "delete_msgs signature verification failed",
    "expire": "expire: signature verification failed",
}
# The same for a clock that is wrong (storage-rpc §10).
_CLOCK_TEXTS: Mapping[str, str] = {
    "store": "Timestamp error: check your clock",
    "expire_all": "expire_all timestamp should be >= current time",
}


class RuleGate:
    """Stand between a storage node and its clients and let the rules of a book strike.

    ``swarm_answer(node_name, account)`` gives the body of a 421, the account's real swarm;
    ``set_skew(node_name, offset_ms)`` sets a node's clock; ``kill(node_name)`` begins to kill a node, and
    without it no node crashes. Every strike is traced as an event of kind ``fault``.
    """

    def __init__(
        self,
        book: FaultSource,
        trace: Trace,
        swarm_answer: SwarmAnswer,
        set_skew: SetSkew | None = None,
        *,
        kill: Kill | None = None,
        sleep: Sleep = asyncio.sleep,
        watch: RequestWatch | None = None,
        hang_limit_s: float = HANG_LIMIT_S,
    ) -> None:
        self._book = book
        self._trace = trace
        self._swarm_answer = swarm_answer
        self._set_skew = set_skew
        self._kill = kill
        self._watch = watch
        self._sleep = sleep
        self._hang_limit_s = hang_limit_s
        # The rule that has set a node's clock, by node name.
        self._skewed: dict[str, str] = {}
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End all hanging and delaying, so that a network can end at once."""
        self._closed.set()

    async def connection(self, node_name: str, path: str) -> bool:
        """Let rules for a path strike before a request is read; False closes the connection, unanswered."""
        async for strike in self._strikes(("delay", "hang", "drop"), node_name, path=path):
            self._record(strike, node_name, path=path)
            match strike.rule.action:
                case "delay":
                    await self._wait(strike.rule.delay_ms / 1000)
                case "hang":
                    await self._wait(self._hang_limit_s)
                    return False
                case "drop":
                    return False
        return True

    async def before(self, node_name: str, method: str, params: Mapping[str, Any]) -> RpcResult | None:
        """Let rules strike before a node acts; a result is answered in place of acting. Raise NoAnswer."""
        if self._watch is not None and self._watch.is_active:
            await self._watch.request(node_name, method)
        await self._skew(node_name)
        account = _account(params)

        def possible(rule: FaultRule) -> bool:
            """Leave requests without an account alone where the fault is a 421: there is no swarm to name."""
            if rule.account and (account is None or account.lower() != rule.account):
                return False
            if rule.action == "wrong_swarm" and method in _ANSWERED_FOR_ANY_ACCOUNT and not rule.methods:
                return False
            return account is not None or (rule.action != "wrong_swarm" and rule.status != 421)

        actions = ("delay", "hang", "drop", "status", "wrong_swarm")
        async for strike in self._strikes(actions, node_name, method=method, possible=possible):
            match strike.rule.action:
                case "delay":
                    self._record(strike, node_name, method=method, delay_ms=strike.rule.delay_ms)
                    await self._wait(strike.rule.delay_ms / 1000)
                case "hang":
                    self._record(strike, node_name, method=method)
                    await self._wait(self._hang_limit_s)
                    return RpcResult(504, _TEXTS[504])
                case "drop":
                    self._record(strike, node_name, method=method)
                    raise NoAnswer
                case "status":
                    status = strike.rule.status or 500
                    self._record(strike, node_name, method=method, status=status)
                    return self._refusal(node_name, method, account, status)
                case "wrong_swarm":
                    self._record(strike, node_name, method=method, status=421)
                    return self._refusal(node_name, method, account, 421)
        return None

    async def after(
        self, node_name: str, method: str, params: Mapping[str, Any], result: RpcResult
    ) -> RpcResult:
        """Let rules change an answer, or kill the node first; the given result is left as it is."""
        if method == "store" and result.is_success:
            await self._crash(node_name)
        changed = await self._change_messages(node_name, method, params, result)

        def possible(_rule: FaultRule) -> bool:
            return can_be_truncated(changed)

        async for strike in self._strikes(("truncate",), node_name, method=method, possible=possible):
            self._record(strike, node_name, method=method)
            changed = truncated(changed, strike.chance(), bt=isinstance(params, BtParams))
        return changed

    def shows_expired_certificate(self, node_name: str) -> bool:
        """Tell whether a node's certificate has expired, for a handshake that begins now."""
        rules = self._book.fitting(("expired_certificate",), node_name)
        for rule in rules[:1]:
            self._trace.record("fault", node_name, rule=rule.id, action=rule.action)
        return bool(rules)

    async def _crash(self, node_name: str) -> None:
        """Let a node die between storing and answering, if a rule says so: the answer is held back."""
        kill = self._kill
        if kill is None:
            return
        async for strike in self._strikes(("crash_after_store",), node_name):
            self._record(strike, node_name, method="store")
            kill(node_name)
            await self._wait(self._hang_limit_s)
            return

    async def _change_messages(
        self, node_name: str, method: str, params: Mapping[str, Any], result: RpcResult
    ) -> RpcResult:
        messages = result.body.get("messages") if isinstance(result.body, Mapping) else None
        if result.status != 200 or not isinstance(messages, list):
            return result
        account, changed = _account(params), messages
        given = params.get("namespace")
        namespace = given if isinstance(given, int) else 0

        def possible(rule: FaultRule) -> bool:
            """Add messages where the mailbox is known, and change those that there are."""
            return account is not None if rule.action in ADDING_ACTIONS else bool(messages)

        actions = ("duplicate", "reorder", "corrupt", "forge", "foreign")
        async for strike in self._strikes(actions, node_name, method=method, possible=possible):
            self._record(strike, node_name, method=method, messages=len(changed))
            rng, now_ms = strike.chance(), time_of(result.body)
            match strike.rule.action:
                case "duplicate":
                    changed = [message for message in changed for _ in range(2)]
                case "reorder":
                    changed = _reordered(changed, rng)
                case "corrupt":
                    changed = [_corrupted(message, rng) for message in changed]
                case "forge" if account is not None:
                    owner = account_bytes(account)
                    changed = forged(changed, rng, owner, namespace=namespace, now_ms=now_ms)
                case "foreign":
                    changed = foreign(changed, rng, namespace=namespace, now_ms=now_ms)
        if changed is messages:
            return result
        return RpcResult(result.status, {**result.body, "messages": changed})

    async def _strikes(
        self,
        actions: Sequence[str],
        node: str,
        *,
        method: str | None = None,
        path: str | None = None,
        possible: Callable[[FaultRule], bool] | None = None,
    ) -> AsyncIterator[Strike]:
        """Yield the uses of all rules with these actions that strike a request; each is counted as it comes.

        A rule that is not ``possible`` for this request is passed over without being counted.
        """
        for rule in self._book.fitting(actions, node, method=method, path=path):
            if possible is not None and not possible(rule):
                continue
            strike = await self._book.claim(rule.id, node)
            if strike is not None:
                yield strike

    async def _wait(self, seconds: float) -> None:
        """Wait that long, or until the gate is closed."""
        await sleep_unless(self._closed, seconds, self._sleep)

    def _refusal(self, node_name: str, method: str, account: str | None, status: int) -> RpcResult:
        """Return the answer that a node gives with a status."""
        if status == 421 and account is not None:
            return RpcResult(421, dict(self._swarm_answer(node_name, account)))
        if status == 401:
            return RpcResult(401, _SIGNATURE_TEXTS.get(method, f"{method} signature verification failed"))
        if status == 406:
            return RpcResult(406, _CLOCK_TEXTS.get(method, f"{method} timestamp too far from current time"))
        return RpcResult(status, _TEXTS[status])

    async def _skew(self, node_name: str) -> None:
        """Set a node's clock while a rule says so, and back to the network's when no rule does any more."""
        if self._set_skew is None:
            return
        rules = self._book.fitting(("clock_skew",), node_name)
        if not rules and node_name not in self._skewed:
            return
        strike = await anext(self._strikes(("clock_skew",), node_name), None)
        skewing = strike.rule.id if strike else None
        if skewing == self._skewed.get(node_name):
            return
        self._set_skew(node_name, strike.rule.offset_ms if strike else 0)
        if strike:
            self._skewed[node_name] = strike.rule.id
            self._record(strike, node_name, offset_ms=strike.rule.offset_ms)
        else:
            del self._skewed[node_name]

    def _record(self, strike: Strike, node_name: str, **more: Any) -> None:
        rule = strike.rule
        self._trace.record("fault", node_name, rule=rule.id, action=rule.action, use=strike.number, **more)


def _account(params: Mapping[str, Any]) -> str | None:
    """Return the account that a request names, or None for none or one that the node refuses itself."""
    account = params.get("pubkey", params.get("pubKey"))
    if not isinstance(account, str):
        return None
    try:
        account_bytes(account)
    except InvalidId:
        return None
    return account


def _reordered(messages: list[Any], rng: random.Random) -> list[Any]:
    """Return messages in an order that differs from the given one, if there are two."""
    if len(messages) < 2:
        return list(messages)
    order = list(range(len(messages)))
    rng.shuffle(order)
    if order == sorted(order):
        order.append(order.pop(0))
    return [messages[index] for index in order]


def _corrupted(message: Any, rng: random.Random) -> Any:
    """Return a message with one bit of its data flipped; the data is bytes or, for JSON, base64."""
    data = message.get("data") if isinstance(message, Mapping) else None
    if isinstance(data, bytes) and data:
        return {**message, "data": _flipped(data, rng)}
    if isinstance(data, str) and data:
        return {**message, "data": pybase64.b64encode(_flipped(pybase64.b64decode(data), rng)).decode()}
    return message


def _flipped(data: bytes, rng: random.Random) -> bytes:
    bit = rng.randrange(len(data) * 8)
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)
