"""Who wants to hear of new messages, and telling them; the transport is somebody else's (storage-rpc §12)."""

from session_testnet.services.storage.monitor.hub import (
    ENDED_COMMAND,
    LIFE_MS,
    PUSH_COMMAND,
    Monitor,
    Subscriber,
)
from session_testnet.services.storage.monitor.request import check_signature

__all__ = ["ENDED_COMMAND", "LIFE_MS", "PUSH_COMMAND", "Monitor", "Subscriber", "check_signature"]
