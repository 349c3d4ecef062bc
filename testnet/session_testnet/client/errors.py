"""What can go wrong for a client: one family, each member with the contract's code (testee-operations §1)."""

from typing import Any, ClassVar


class ClientError(Exception):
    """Say what failed; ``code`` is a code of the testee contract, ``data`` holds JSON-able details."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class NetworkError(ClientError):
    """No usable answer: nobody listens, the connection broke, or a node failed."""

    code = "network_error"


class DeadlineExceeded(NetworkError):
    """A wait ended without result; the message says what was awaited and for how long."""


class Unreachable(NetworkError):
    """No connection could be made: nobody listens at that address."""


class ConnectionLost(NetworkError):
    """The connection broke before the answer was complete."""


class BadReply(NetworkError):
    """An answer came that is not in the form which the protocol gives it."""


class PathFailed(NetworkError):
    """An onion request got lost on its way; who is at fault is not known, or was one of the relays."""


class DestinationUnreachable(NetworkError):
    """A relay says that the node which the request was for cannot be reached."""


class NotEnoughNodes(NetworkError):
    """Too few service nodes are known for what was asked."""


class NodeFailed(NetworkError):
    """The node answered with a status of its own failure (5xx, or one outside the protocol)."""


class WrongSwarm(ClientError):
    """The account does not belong to the swarm of the node that was asked (421)."""

    code = "wrong_swarm"


class ClockSkew(ClientError):
    """The node finds the time of the request too far from its own (406, 425)."""

    code = "clock_skew"


class Unauthorized(ClientError):
    """The signature is missing or was refused (401)."""

    code = "unauthorized"


class NotFound(ClientError):
    """What was asked for does not exist (404)."""

    code = "not_found"


class TooLarge(ClientError):
    """What was to be sent is over a limit of the client, or of the server (413)."""

    code = "too_large"


class Refused(ClientError):
    """The request is malformed or not allowed (400, 403), or its arguments cannot be meant."""

    code = "invalid_argument"


_BY_STATUS: dict[int, type[ClientError]] = {
    400: Refused,
    401: Unauthorized,
    403: Refused,
    404: NotFound,
    406: ClockSkew,
    413: TooLarge,
    421: WrongSwarm,
    425: ClockSkew,
}


def error_for_status(status: int, body: Any, what: str, **data: Any) -> ClientError:
    """Make the error for an answer's status; ``what`` says what was asked of whom."""
    kind = _BY_STATUS.get(status, NodeFailed)
    text = body if isinstance(body, str) else ""
    shown = f": {text[:200]}" if text else ""
    return kind(f"{what} was answered {status}{shown}", status=status, **data)
