"""The periodic job of a community server: what is due happens, what is old goes (open-group-server §20)."""

from dataclasses import astuple, dataclass
from typing import Final

from session_testnet.clock import Clock
from session_testnet.services.community.access import Stores
from session_testnet.services.community.authentication import NonceMemory

CLEANUP_PERIOD_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class CleanupResult:
    """Hold how many files, visits and nonces were forgotten, and changes of rights and bans carried out.

    ``history`` is the number of earlier versions of messages.
    """

    files: int
    history: int
    visits: int
    changes: int
    nonces: int

    def as_list(self) -> list[int]:
        """Return the numbers in the order in which fixtures compare them."""
        return list(astuple(self))


class Cleanup:
    """Clean up now, or every ten seconds.

    Whoever cleans up by hand has the next ten seconds for himself: what he then compares does not change
    under him.
    """

    def __init__(self, stores: Stores, nonces: NonceMemory, clock: Clock) -> None:
        self._stores = stores
        self._nonces = nonces
        self._clock = clock
        self._skips_next = False

    def run(self) -> CleanupResult:
        """Clean up now."""
        self.skip_next()
        return self._run()

    def skip_next(self) -> None:
        """Leave the next periodic run out."""
        self._skips_next = True

    def run_periodically(self) -> None:
        """Clean up, unless that has been done by hand since the last call."""
        if self._skips_next:
            self._skips_next = False
        else:
            self._run()

    def _run(self) -> CleanupResult:
        now_ms, stores = self._clock.now_ms(), self._stores
        stores.inbox.purge(now_ms=now_ms)
        changes = stores.overrides.apply_due(now_ms=now_ms) + stores.bans.end_due(now_ms=now_ms)
        return CleanupResult(
            files=stores.uploads.purge(now_ms=now_ms),
            history=stores.posts.forget_history(now_ms=now_ms),
            visits=stores.rooms.refresh_activity(now_ms=now_ms),
            changes=changes,
            nonces=self._nonces.purge(now_ms=now_ms),
        )
