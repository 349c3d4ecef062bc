"""What a person sees of a community server: the page behind a join URL, and the list of rooms.

The pages stand on the JSON interface, asked as a stranger: they can show nothing that a stranger could not
ask for (open-group-server §19).
"""

from session_testnet.services.community.web.pages import RoomPages

__all__ = ["RoomPages"]
