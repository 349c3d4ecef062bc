"""What can be set about a storage node; the defaults are those of the network (storage-rpc §1)."""

from dataclasses import dataclass

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_MESSAGE_BYTES = 76_800
MIN_TTL_MS = 10_000
STORE_TOLERANCE_MS = 10_000
SIGNATURE_TOLERANCE_MS = 60_000
FORWARDED_TOLERANCE_MS = 70_000
RETRIEVE_MAX_BYTES = 7_800_000
MAX_SUBREQUESTS = 20
MAX_REVOKED_TOKENS = 50
# Nodes serve clients from this hard fork on; the network has long passed it.
SERVING_HARDFORK = (19, 6)


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """The settings of one node; times are in seconds of real time.

    ``database_bytes`` is where the database is full. ``rate_limit`` switches on the token bucket of each
    client address, off by default because all local clients share one.
    """

    version: tuple[int, int, int] = (2, 11, 3)
    peer_timeout_s: float = 5.0
    relay_timeout_s: float = 30.0
    exit_timeout_s: float = 25.0
    purge_period_s: float = 10.0
    database_bytes: int = 10 * 1024**3
    rate_limit: bool = False

    @property
    def version_text(self) -> str:
        """Return the version as headers name it, like 2.11.3."""
        return ".".join(map(str, self.version))

    @property
    def server_name(self) -> str:
        """Return what the node calls itself in HTTP headers."""
        return f"Oxen Storage Server/{self.version_text}"
