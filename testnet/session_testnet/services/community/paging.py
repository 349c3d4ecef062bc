"""What a client asks of a list of messages: how much, and with what (open-group-server §9.2)."""

from dataclasses import dataclass

from session_testnet.services.exchange import HttpError, ServiceRequest


@dataclass(frozen=True, slots=True)
class Page:
    """How many messages, how many reactors of each reaction, and whether bare reaction changes are wanted."""

    limit: int
    reactors: int
    with_reaction_changes: bool

    @classmethod
    def of(cls, request: ServiceRequest) -> "Page":
        """Read the query; numbers are cut to what is allowed, HttpError 400 for what is no number."""
        # The reference looks for the letter anywhere in the value.
        wanted = request.query_value("t") or ""
        return cls(list_limit(request), _clamped(request, "reactors", 4, 0, 20), "r" in wanted)


def list_limit(request: ServiceRequest) -> int:
    """Return how long a list may be: 1…256, 100 unless said otherwise; HttpError 400."""
    return _clamped(request, "limit", 100, 1, 256)


def integer(request: ServiceRequest, name: str) -> int | None:
    """Return an integer of the query, None when it is missing; HttpError 400 for anything else."""
    text = request.query_value(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise HttpError(400, f"{name} is not an integer") from None


def _clamped(request: ServiceRequest, name: str, default: int, low: int, high: int) -> int:
    number = integer(request, name)
    return default if number is None else max(low, min(high, number))
