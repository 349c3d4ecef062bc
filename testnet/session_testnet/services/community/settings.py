"""What can be changed about a community server while it runs."""

from dataclasses import dataclass
from typing import Final

# How long a file lives once a message holds it, unless the server says otherwise (open-group-server §12).
ATTACHED_MS: Final = 15 * 24 * 60 * 60 * 1000


@dataclass(slots=True)
class ServerSettings:
    """Hold the settings that all parts of one server share; a change takes effect with the next request.

    ``accept_blinded25`` lets the second version of blinded ids in, which no client sends (open-group-server
    §23). ``attached_file_ms`` None lets files of messages live for ever.
    """

    require_blinding: bool = True
    accept_blinded25: bool = False
    rate_limit: bool = True
    attached_file_ms: int | None = ATTACHED_MS

    def become_test_defaults(self) -> None:
        """Set what fixtures expect after a reset; which blinded ids are let in stays."""
        self.require_blinding = False
        self.rate_limit = True
        self.attached_file_ms = ATTACHED_MS
