"""A storage node's OMQ side: ``storage.*`` in JSON and bt, and the push of messages (storage-rpc §2.2)."""

from session_testnet.services.storage.omq.commands import OmqFront

__all__ = ["OmqFront"]
