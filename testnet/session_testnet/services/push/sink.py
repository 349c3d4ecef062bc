"""What push services would have been given: the end of the line in a network without Apple and Google."""

from collections import deque
from typing import Any, Final

from session_protocol.push import Notification, seal_notification
from session_testnet.clock import Clock
from session_testnet.services.push.requests import Subscription
from session_testnet.trace import Trace

# The newest so many are kept.
_CAPACITY: Final = 10_000
_APPLE: Final = frozenset({"apns", "apns-sandbox"})


class PushSink:
    """Record each notification as its push service sees it, and nothing else; also in the trace."""

    def __init__(self, name: str, clock: Clock, trace: Trace) -> None:
        self._name = name
        self._clock = clock
        self._trace = trace
        self._delivered: deque[dict[str, Any]] = deque(maxlen=_CAPACITY)

    def deliver(self, subscription: Subscription, notification: Notification, nonce: bytes) -> None:
        """Seal a notification for the device of a subscription and hand it to the push service."""
        device = subscription.device
        enc_payload = seal_notification(subscription.enc_key, notification, nonce=nonce)
        record = {
            "service": device.service,
            "service_info": dict(device.service_info),
            "notification": _as_carried(device.service, enc_payload),
        }
        self._delivered.append({"t_ms": self._clock.now_ms(), **record})
        self._trace.record("push", self._name, **record)

    def delivered(self) -> list[dict[str, Any]]:
        """Return what has been delivered, oldest first; ``t_ms`` says when."""
        return list(self._delivered)

    def clear(self) -> int:
        """Forget what has been delivered and return how many notifications that were."""
        count = len(self._delivered)
        self._delivered.clear()
        return count


def _as_carried(service: str, enc_payload: str) -> dict[str, Any]:
    """Return the data of a notification; Apple's needs a text for devices that cannot open it in time."""
    if service not in _APPLE:
        return {"spns": "1", "enc_payload": enc_payload}
    alert = {"title": "Session", "body": "You've got a new message"}
    return {"aps": {"alert": alert, "mutable-content": 1}, "spns": 1, "enc_payload": enc_payload}
