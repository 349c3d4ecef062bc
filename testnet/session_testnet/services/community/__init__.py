"""The community server (open group, "SOGS"): rooms, messages, files, requests signed under blinded ids."""

from session_testnet.services.community.app import CommunityServer
from session_testnet.services.community.roles import Role

__all__ = ["CommunityServer", "Role"]
