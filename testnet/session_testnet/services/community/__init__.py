"""The community server (open group, "SOGS"): rooms, messages, files, requests signed under blinded ids."""

from session_testnet.services.community.app import CommunityServer
from session_testnet.services.community.rooms import RoomSpec
from session_testnet.services.community.users import Role

__all__ = ["CommunityServer", "Role", "RoomSpec"]
