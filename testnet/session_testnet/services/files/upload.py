"""A file on its way in: written, counted and hashed piece by piece (file-server §3.1)."""

import hashlib
from base64 import urlsafe_b64encode
from typing import Final

from session_testnet.services.blobs import BlobStore, BlobWriter

HASH_ID_LENGTH: Final = 44
_HASH_SALT: Final = b"SessionFileSvr\x00\x00"


class Upload:
    """Take a body as it comes; until it is kept nobody can see it.

    A disk that refuses shows in :meth:`keep`, so that the request is answered like any other.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self.size = 0
        self._blobs = blobs
        self._hash = hashlib.blake2b(digest_size=33, salt=_HASH_SALT)
        self._writer: BlobWriter | None = None
        self._failure: OSError | None = None

    @property
    def hash_id(self) -> str:
        """Return the 44-character id of what has come so far."""
        return urlsafe_b64encode(self._hash.digest()).decode()

    def write(self, chunk: bytes) -> None:
        """Take the next piece."""
        self.size += len(chunk)
        self._hash.update(chunk)
        if self._failure is not None:
            return
        try:
            if self._writer is None:
                self._writer = self._blobs.begin()
            self._writer.write(chunk)
        except OSError as error:
            self._failure = error

    def keep(self, key: str) -> None:
        """Store what has come under a key; raise OSError when the disk has refused it."""
        if self._failure is not None:
            raise self._failure
        if self._writer is None:
            self._writer = self._blobs.begin()
        self._writer.keep(key)

    def close(self) -> None:
        """Forget what has come, unless it has been kept; safe to call twice."""
        if self._writer is not None:
            self._writer.close()
