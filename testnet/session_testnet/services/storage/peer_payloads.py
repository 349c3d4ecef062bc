"""What nodes send each other, as values that a stream can carry.

Inside one process a request is handed over as it is (:mod:`session_testnet.peers`).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from session_protocol import onion
from session_testnet.services.storage import handover, onion_hops, replication
from session_testnet.services.storage.handover import Missed, Ready
from session_testnet.services.storage.replication import ForwardedRequest
from session_testnet.services.storage.requests import (
    AccountRequest,
    ChangeRevocations,
    Delete,
    DeleteAll,
    DeleteBefore,
    Expire,
    ExpireAll,
    Store,
)
from session_testnet.services.storage.transfers import Transfer

_REQUESTS: Final[Mapping[str, type[AccountRequest]]] = {
    "store": Store,
    "delete": Delete,
    "delete_all": DeleteAll,
    "delete_before": DeleteBefore,
    "expire": Expire,
    "expire_all": ExpireAll,
    "revoke_subaccount": ChangeRevocations,
    "unrevoke_subaccount": ChangeRevocations,
}


class BadPayload(Exception):
    """Say what another node sent instead of a payload."""


def encode(command: str, payload: Any) -> Any:
    """Return a payload as a value for a :class:`~session_testnet.channel.Channel`."""
    if command == onion_hops.COMMAND and isinstance(payload, onion.HopMessage):
        return onion.encode_hop_message(payload)
    if command == handover.COMMAND and isinstance(payload, tuple):
        return Transfer.of_messages(payload)
    return payload


def decode(command: str, value: Any) -> Any:
    """Return the payload that :func:`encode` made a value of; raise BadPayload."""
    try:
        if command == replication.COMMAND:
            kind = _REQUESTS[value["method"]]
            return ForwardedRequest(
                value["method"],
                msgspec.convert(value["request"], kind),
                msgspec.convert(value["stamp"], int),
            )
        if command == handover.COMMAND:
            return msgspec.convert(value, Transfer)
        if command == handover.READY_COMMAND:
            return msgspec.convert(value, Ready)
        if command == handover.MISSED_COMMAND:
            return msgspec.convert(value, Missed)
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise BadPayload(f"{command}: {error}") from error
    return value
