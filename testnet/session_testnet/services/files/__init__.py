"""The file server: an anonymous store of opaque blobs that expire."""

from session_testnet.services.files.app import FileServer
from session_testnet.services.files.store import FileRecord, IdMode

__all__ = ["FileRecord", "FileServer", "IdMode"]
