"""Removing messages together with everything that belongs to them (open-group-server §§9.5, 13)."""

import sqlite3

from session_testnet.services.community.pins import PinBook
from session_testnet.services.community.posts import Post, PostBook
from session_testnet.services.community.reactions import ReactionBook
from session_testnet.services.community.rooms import Room
from session_testnet.services.community.uploads import UploadStore
from session_testnet.services.community.users import User
from session_testnet.services.sqlite_file import transaction


class Remover:
    """Turn messages into tombstones, without reactions, pins or files."""

    def __init__(
        self,
        database: sqlite3.Connection,
        posts: PostBook,
        reactions: ReactionBook,
        pins: PinBook,
        uploads: UploadStore,
    ) -> None:
        self._database = database
        self._posts = posts
        self._reactions = reactions
        self._pins = pins
        self._uploads = uploads

    def remove(self, post: Post, *, now_ms: int) -> None:
        """Remove a message; the room's sequence rises by one, and by one for each reaction."""
        with transaction(self._database):
            self._reactions.remove(post)
            self._pins.unpin(post.room_id, post.id)
            self._uploads.expire(post.id)
            self._posts.bury(post, now_ms=now_ms)

    def remove_all(self, room: Room, author: User, *, now_ms: int) -> int:
        """Remove every message of a user in a room and return how many they were."""
        with transaction(self._database):
            posts = self._posts.by(room, author)
            for post in posts:
                self.remove(post, now_ms=now_ms)
        return len(posts)
