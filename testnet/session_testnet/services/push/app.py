"""The push server: its endpoints, directly and by onion request, and what it tells devices (push-server)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web

from session_protocol.bencode import Bencoded
from session_protocol.push import NONCE_BYTES, notification_of
from session_testnet.clock import Clock
from session_testnet.services.exchange import (
    Router,
    ServiceRequest,
    ServiceResponse,
    json_reply,
    run_periodically,
    serve_exchanges,
)
from session_testnet.services.onion_v4 import MAX_ONION_BYTES, ONION_PATH, OnionEndpoint, ServerKeys
from session_testnet.services.push.requests import (
    ErrorCode,
    Refused,
    parse_subscription,
    parse_unsubscription,
)
from session_testnet.services.push.seen import SeenMessages
from session_testnet.services.push.sink import PushSink
from session_testnet.services.push.store import SubscriptionStore
from session_testnet.services.push.watch import MonitorLink, Pushed, SwarmWatch
from session_testnet.trace import Trace

MAX_BODY_BYTES: Final = 100_000
UPKEEP_PERIOD_S: Final = 15.0

Answer = dict[str, Any]


class PushServer:
    """Take subscriptions, hear of messages from the nodes of each account's swarm, and notify devices.

    ``seed`` is the server's 32-byte Ed25519 seed. ``directory`` None keeps all in memory. Everything runs in
    one event loop.
    """

    def __init__(
        self,
        seed: bytes,
        *,
        clock: Clock,
        trace: Trace,
        link: MonitorLink,
        name: str = "push",
        directory: Path | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Open the store; DatabaseRefused for a foreign or damaged one."""
        self.name = name
        self.sink = PushSink(name, clock, trace)
        self._keys = ServerKeys.from_seed(seed)
        self._clock = clock
        self._trace = trace
        self._random_bytes = random_bytes
        self._store = SubscriptionStore(directory)
        self._seen = SeenMessages()
        self._watch = SwarmWatch(link, clock, requests_of=self._requests_of, heard=self._heard)
        self._onion = OnionEndpoint(self._keys, self._dispatch, random_bytes)
        self._router: Router[None] = Router()
        self._router.add("POST", "/subscribe", lambda request, _: self._each(request, self._subscribe))
        self._router.add("POST", "/unsubscribe", lambda request, _: self._each(request, self._unsubscribe))
        self._router.add("POST", ONION_PATH, lambda request, _: self._onion.answer(request))

    @property
    def public_key(self) -> str:
        """Return the X25519 key that onion requests are sealed for, as 64 hex digits."""
        return self._keys.x25519_pk.hex()

    def application(self) -> web.Application:
        """Return an aiohttp application that serves everything and keeps subscriptions alive."""
        application = serve_exchanges(
            self.handle,
            max_body=lambda path: MAX_ONION_BYTES if path == ONION_PATH else MAX_BODY_BYTES,
            too_large=json_reply(_too_large()),
            settle=self.settle,
        )
        run_periodically(application, self.refresh, UPKEEP_PERIOD_S, self._record_failure)
        return application

    def handle(self, request: ServiceRequest) -> ServiceResponse:
        """Answer one request that came straight over HTTP; :meth:`settle` does then what follows from it."""
        return self._dispatch(request)

    async def settle(self) -> None:
        """Let nodes know of what has been asked for meanwhile."""
        await self._watch.settle()

    async def refresh(self) -> None:
        """Drop what has ended and subscribe at nodes where it is needed: the network or its clock changed."""
        now_ms = self._clock.now_ms()
        self._store.purge(now_s=now_ms // 1000)
        self._seen.purge(now_ms)
        self._watch.refresh(self._store.accounts(now_s=now_ms // 1000))
        await self._watch.settle()

    def forget_node(self, node: str) -> None:
        """Take the subscriptions at a node for ended; :meth:`refresh` makes them anew."""
        self._watch.forget_node(node)

    def subscriptions(self) -> list[Answer]:
        """Return the subscriptions that count now, without their secrets; times in Unix seconds."""
        return [
            {
                "account_id": each.device.account.hex(),
                "service": each.device.service,
                "service_info": dict(each.device.service_info),
                "namespaces": list(each.namespaces),
                "data": each.with_data,
                "sig_ts": each.timestamp_s,
                "expires": each.expires_s,
            }
            for each in self._store.all(now_s=self._now_s())
        ]

    def close(self) -> None:
        """Close the store; safe to call twice."""
        self._store.close()

    def _dispatch(self, request: ServiceRequest) -> ServiceResponse:
        response = self._router.dispatch(request, None)
        self._trace.record(
            "push_server_request",
            self.name,
            method=request.method,
            path=request.path,
            status=response.status,
        )
        return response

    def _record_failure(self, error: Exception) -> None:
        """Let the trace show that the periodic upkeep did not get to its end."""
        self._trace.record("push_server_error", self.name, during="upkeep", error=repr(error))

    def _each(self, request: ServiceRequest, act: Callable[[Any], Answer]) -> ServiceResponse:
        """Answer an object with an object, an array with an array; all of it with status 200."""
        if len(request.body) > MAX_BODY_BYTES:
            return json_reply(_too_large())
        try:
            asked = orjson.loads(request.body)
        except orjson.JSONDecodeError as error:
            return json_reply(_refusal(ErrorCode.BAD_INPUT, f"the body is not JSON: {error}"))
        if isinstance(asked, list):
            return json_reply([self._answer(each, act) for each in asked])
        return json_reply(self._answer(asked, act))

    def _answer(self, asked: Any, act: Callable[[Any], Answer]) -> Answer:
        try:
            return {"success": True, **act(asked)}
        except Refused as refused:
            return _refusal(refused.code, str(refused))
        except Exception as error:  # noqa: BLE001 - a defect must not end the server; the trace shows it
            self._trace.record("push_server_error", self.name, error=repr(error))
            return _refusal(ErrorCode.INTERNAL_ERROR, "an internal error has occurred")

    def _subscribe(self, asked: Any) -> Answer:
        subscription = parse_subscription(asked, now_s=self._now_s())
        is_new = self._store.put(subscription)
        self._watch.watch(subscription.device.account)
        return {"added" if is_new else "updated": True}

    def _unsubscribe(self, asked: Any) -> Answer:
        # Nodes forget by themselves; what they still push is for nobody then.
        return {"removed": self._store.remove(parse_unsubscription(asked, now_s=self._now_s()))}

    def _requests_of(self, account: bytes) -> list[Any]:
        return [each.for_nodes() for each in self._store.of_account(account, now_s=self._now_s())]

    def _heard(self, pushed: Pushed) -> None:
        """Notify the devices that want to know of a message; only once, whoever tells of it."""
        try:
            self._notify(pushed)
        except Exception as error:  # noqa: BLE001 - the node that tells must not suffer; the trace shows it
            self._trace.record("push_server_error", self.name, error=repr(error))

    def _notify(self, pushed: Pushed) -> None:
        account, message_hash = _bytes(pushed, b"@"), _bytes(pushed, b"h")
        namespace, expiry_ms = _integer(pushed, b"n"), _integer(pushed, b"z")
        if not self._seen.is_new(account + message_hash, expiry_ms):
            return
        for subscription in self._store.of_account(account, now_s=self._now_s()):
            if namespace not in subscription.namespaces:
                continue
            notification = notification_of(
                account.hex(),
                message_hash.decode(),
                namespace,
                timestamp_ms=_integer(pushed, b"t"),
                expiry_ms=expiry_ms,
                # A node sends bodies to all devices of an account when one of them wants bodies.
                body=_bytes(pushed, b"~") if subscription.with_data and b"~" in pushed else None,
            )
            self.sink.deliver(subscription, notification, self._random_bytes(NONCE_BYTES))

    def _now_s(self) -> int:
        return self._clock.now_ms() // 1000


def _too_large() -> Answer:
    return _refusal(ErrorCode.BAD_INPUT, f"a request has {MAX_BODY_BYTES} bytes at most")


def _refusal(code: ErrorCode, text: str) -> Answer:
    return {"error": int(code), "message": text}


def _bytes(pushed: Pushed, key: bytes) -> bytes:
    value: Bencoded = pushed[key]
    if not isinstance(value, bytes):
        raise TypeError(f"{key!r} of a push is no string")
    return value


def _integer(pushed: Pushed, key: bytes) -> int:
    value: Bencoded = pushed[key]
    if not isinstance(value, int):
        raise TypeError(f"{key!r} of a push is no integer")
    return value
