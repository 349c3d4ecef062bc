"""The file server: an anonymous store of opaque blobs that expire."""

from session_testnet.services.files.app import FileServer
from session_testnet.services.files.releases import DEFAULT_RELEASES, Release
from session_testnet.services.files.store import FileRecord, IdMode

__all__ = ["DEFAULT_RELEASES", "FileRecord", "FileServer", "IdMode", "Release"]
