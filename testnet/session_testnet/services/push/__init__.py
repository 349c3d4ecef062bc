"""The push server: tells devices of new messages through push services, without showing them anything."""

from session_testnet.services.push.app import PushServer
from session_testnet.services.push.watch import MonitorLink

__all__ = ["MonitorLink", "PushServer"]
