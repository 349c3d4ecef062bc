"""Which messages have been told already: several nodes tell of each."""

from typing import Final

# The oldest are forgotten beyond so many; nodes tell of a message within seconds.
_CAPACITY: Final = 100_000


class SeenMessages:
    """Remember messages until they expire."""

    def __init__(self) -> None:
        self._expiry_ms: dict[bytes, int] = {}

    def is_new(self, message: bytes, expiry_ms: int) -> bool:
        """Tell whether a message, named by account and hash, is told for the first time; remember it."""
        if message in self._expiry_ms:
            return False
        self._expiry_ms[message] = expiry_ms
        if len(self._expiry_ms) > _CAPACITY:
            del self._expiry_ms[next(iter(self._expiry_ms))]
        return True

    def purge(self, now_ms: int) -> None:
        """Forget messages that have expired."""
        self._expiry_ms = {each: expiry for each, expiry in self._expiry_ms.items() if expiry > now_ms}
