"""What an operator decides about the content of a community server (open-group-server §§9.3, 12, 20)."""

from dataclasses import dataclass
from typing import Final

DEFAULT_UPLOAD_LIFETIME_MS: Final = 15 * 24 * 60 * 60 * 1000
# What an onion request may have altogether; clients keep their files to 10,000,000 bytes.
DEFAULT_MAX_UPLOAD_BYTES: Final = 10 * 1024 * 1024


@dataclass(slots=True)
class ContentSettings:
    """Settings that may change while the server runs.

    ``rate_limit`` says whether users may post only so often. ``upload_lifetime_ms`` is how long a file
    lives once it is attached to a message, None for ever. ``max_upload_bytes`` is the largest file.
    """

    rate_limit: bool = True
    upload_lifetime_ms: int | None = DEFAULT_UPLOAD_LIFETIME_MS
    max_upload_bytes: int = DEFAULT_MAX_UPLOAD_BYTES
