"""What can be changed about a community server while it runs."""

from dataclasses import dataclass
from typing import Final

# How long a file lives once a message holds it, unless the server says otherwise (open-group-server §12).
ATTACHED_MS: Final = 15 * 24 * 60 * 60 * 1000
# As much as an onion request may have altogether; clients keep their files to 10,000,000 bytes.
MAX_UPLOAD_BYTES: Final = 10 * 1024 * 1024


@dataclass(slots=True)
class ServerSettings:
    """Hold the settings that all parts of one server share; a change takes effect with the next request.

    ``accept_blinded25`` lets the second version of blinded ids in, which no client sends (open-group-server
    §23). ``attached_file_ms`` None lets files of messages live for ever. ``max_upload_bytes`` is the size
    of the largest file.
    """

    require_blinding: bool = True
    accept_blinded25: bool = False
    rate_limit: bool = True
    attached_file_ms: int | None = ATTACHED_MS
    max_upload_bytes: int = MAX_UPLOAD_BYTES

    def path_id_kind(self, *, unblinded: bool) -> str:
        """Return which ids a path takes, as a kind of the router; Account IDs where ``unblinded``."""
        kind = "user_id" if unblinded else "blinded_id"
        return f"{kind}_or_25" if self.accept_blinded25 else kind

    def become_test_defaults(self) -> None:
        """Set what fixtures expect after a reset; which ids of version 25 and how large files stays."""
        self.require_blinding = False
        self.rate_limit = True
        self.attached_file_ms = ATTACHED_MS
