"""What can be set about a storage node; the defaults are those of the network (storage-rpc §1)."""

from dataclasses import dataclass

from session_testnet.services.storage.version_profile import (
    NEWEST_VERSION,
    Version,
    VersionProfile,
    profile_of,
)

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_MESSAGE_BYTES = 76_800
MIN_TTL_MS = 10_000
STORE_TOLERANCE_MS = 10_000
SIGNATURE_TOLERANCE_MS = 60_000
FORWARDED_TOLERANCE_MS = 70_000
RETRIEVE_MAX_BYTES = 7_800_000
MAX_SUBREQUESTS = 20
# Clients share one full page out among the requests of a batch (storage-rpc §14). Twice that leaves them
# room, where 20 full pages would be a reply of 156 MB.
MAX_BATCH_PAGES_BYTES = 2 * RETRIEVE_MAX_BYTES
MAX_REVOKED_TOKENS = 50
# Requests beyond this many at a time are turned away (storage-rpc §2.1).
MAX_JOBS = 1000
# From here on each message of one request may get an expiry of its own.
MULTI_EXPIRY_HARDFORK = (19, 4)
# What a member missed is delivered later. Every check tries the members whose turn it is; after a failure a
# member has a pause, that doubles up to the longest one (network §9 has the first two times; the pauses are
# our own choice). A member that comes back announces itself, and is not made to wait.
RETRY_CHECK_S = 5.0
RETRY_TIMEOUT_S = 10.0
RETRY_FIRST_PAUSE_S = 5.0
RETRY_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """The settings of one node; times are in seconds of real time.

    ``version`` is the release that the node imitates, and decides between old and new behaviour.
    ``database_bytes`` is where the database is full; ``max_jobs`` is how many requests are worked on at once.
    """

    version: Version = NEWEST_VERSION
    peer_timeout_s: float = 5.0
    relay_timeout_s: float = 30.0
    exit_timeout_s: float = 25.0
    upload_timeout_s: float = 60.0
    purge_period_s: float = 10.0
    retry_check_s: float = RETRY_CHECK_S
    retry_timeout_s: float = RETRY_TIMEOUT_S
    retry_first_pause_s: float = RETRY_FIRST_PAUSE_S
    retry_longest_pause_s: float = RETRY_LONGEST_PAUSE_S
    database_bytes: int = 10 * 1024**3
    max_jobs: int = MAX_JOBS

    @property
    def profile(self) -> VersionProfile:
        """Return how the imitated release behaves."""
        return profile_of(self.version)

    @property
    def version_text(self) -> str:
        """Return the version as headers name it, like 2.11.3."""
        return ".".join(map(str, self.version))

    @property
    def server_name(self) -> str:
        """Return what the node calls itself in HTTP headers."""
        return f"Oxen Storage Server/{self.version_text}"
