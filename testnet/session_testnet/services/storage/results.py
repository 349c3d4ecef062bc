"""What an RPC method ends in: a status with a body, or an error that becomes one."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RpcResult:
    """The answer to a client's request.

    ``body`` is an object (sent as JSON), a text (errors are bare texts, storage-rpc §2.1) or bytes
    (``active_nodes_bin``).
    """

    status: int
    body: Any

    @property
    def is_success(self) -> bool:
        """Tell whether the status is in 200…299; a sequence stops at the first that is not."""
        return 200 <= self.status <= 299


class RpcError(Exception):
    """End a method with this status and body."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body!r:.200}")
        self.status = status
        self.body = body

    @property
    def result(self) -> RpcResult:
        """Return the answer that this error is."""
        return RpcResult(self.status, self.body)


class NoAnswer(Exception):
    """End a request without an answer, as a node that goes down while it works on it."""


class ParseError(Exception):
    """Refuse parameters; the text is the detail after ``invalid request: `` (storage-rpc §3)."""
