"""What can be set about a storage node; the defaults are those of the network (storage-rpc §1)."""

from dataclasses import asdict, dataclass

from session_testnet.services.storage.version_profile import (
    NEWEST_VERSION,
    Version,
    VersionProfile,
    profile_of,
)
from session_testnet.storage_limits import StorageLimits

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
# From here on each message of one request may get an expiry of its own.
MULTI_EXPIRY_HARDFORK = (19, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings(StorageLimits):
    """The settings of one node: its limits, and ``version``, the release that it imitates.

    That decides between old and new behaviour.
    """

    version: Version = NEWEST_VERSION

    @classmethod
    def of(cls, version: Version, limits: StorageLimits) -> "StorageSettings":
        """Return the settings of a node of this release with these limits."""
        return cls(version=version, **asdict(limits))

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
