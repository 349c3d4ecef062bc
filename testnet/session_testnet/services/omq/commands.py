"""What a listener is asked and by whom: commands, their handlers, and connections (omq.md §1)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

# The words that refuse a command which exists.
FORBIDDEN: Final = b"FORBIDDEN"
FORBIDDEN_SN: Final = b"FORBIDDEN_SN"
NOT_A_SERVICE_NODE: Final = b"NOT_A_SERVICE_NODE"


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection of a client, known by its ZMQ routing id.

    A client that connects again under the same id takes the connection over. ``push`` sends it a one-way
    command; False means that it has gone.
    """

    routing_id: bytes
    address: str = field(compare=False)
    push: "Callable[[bytes, bytes], bool]" = field(compare=False, repr=False)


Parts: TypeAlias = Sequence[bytes]
Handler: TypeAlias = Callable[[Connection, Parts], Awaitable[Parts | None]]
"""Takes the data parts of a command and returns those of the reply, or None for no reply."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: who carries it out, or the word that refuses it to everybody who can connect here.

    ``is_request`` commands begin with a tag and are answered; the others go one way.
    """

    handler: Handler | None = None
    refusal: bytes | None = None
    is_request: bool = True


Commands: TypeAlias = Mapping[bytes, Command]
