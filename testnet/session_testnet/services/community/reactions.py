"""The reactions to messages (open-group-server §10).

A reaction is an emoji at a message, in the order of first use; it is there for as long as one of its
reactors is.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import orjson

from session_testnet.services.community.counters import advance_sequence
from session_testnet.services.community.posts import Post
from session_testnet.services.community.users import User
from session_testnet.services.sqlite_file import transaction


class ReactionBook:
    """Keep who reacted to which message with what."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add(self, post: Post, emoji: str, user: User, *, now_ms: int) -> int | None:
        """Add a user's reaction and return the message's new seqno; None when it is there already."""
        with transaction(self._database):
            self._database.execute(
                "INSERT INTO reactions(post, emoji) VALUES (?, ?) ON CONFLICT DO NOTHING", (post.id, emoji)
            )
            added = self._database.execute(
                "INSERT INTO reactors(reaction, user, reacted_ms)"
                " SELECT id, ?, ? FROM reactions WHERE post = ? AND emoji = ? ON CONFLICT DO NOTHING",
                (user.id, now_ms, post.id, emoji),
            ).rowcount
            return self._move_to_end(post, added) if added else None

    def remove(self, post: Post, emoji: str | None = None, user: User | None = None) -> tuple[int, int]:
        """Remove the reactions with an emoji (None: all), of a user (None: of everybody).

        Return how many they were, and the message's seqno: the room's sequence rises by one for each.
        """
        with transaction(self._database):
            removed = self._database.execute(
                "DELETE FROM reactors WHERE (?1 IS NULL OR user = ?1) AND reaction IN"
                " (SELECT id FROM reactions WHERE post = ?2 AND (?3 IS NULL OR emoji = ?3))",
                (user.id if user else None, post.id, emoji),
            ).rowcount
            if not removed:
                return 0, post.seqno
            self._database.execute(
                "DELETE FROM reactions WHERE post = ? AND id NOT IN (SELECT reaction FROM reactors)",
                (post.id,),
            )
            return removed, self._move_to_end(post, removed)

    def reactors(self, post: Post, emoji: str, limit: int | None) -> list[tuple[str, float]]:
        """Return who reacted with an emoji and when, in seconds, oldest first; ``limit`` None for all."""
        rows = self._database.execute(
            "SELECT u.session_id, r.reacted_ms FROM reactors r JOIN users u ON u.id = r.user"
            " WHERE r.reaction = (SELECT id FROM reactions WHERE post = ? AND emoji = ?)"
            " ORDER BY r.id LIMIT ?",
            (post.id, emoji, -1 if limit is None else limit),
        )
        return [(session_id, reacted_ms / 1000) for session_id, reacted_ms in rows]

    def of(self, posts: Sequence[Post], viewer: User | None, reactors: int) -> dict[int, dict[str, Any]]:
        """Return the ``reactions`` member of those messages that have any (open-group-server §9.1).

        Each reaction names at most ``reactors`` users, the first ones. However many messages: two queries.
        """
        post_ids = orjson.dumps([post.id for post in posts]).decode()
        found: dict[int, dict[str, Any]] = {}
        by_reaction: dict[int, dict[str, Any]] = {}
        for reaction, post_id, emoji, count, mine in self._database.execute(
            "SELECT n.id, n.post, n.emoji, COUNT(*), MAX(r.user IS ?) FROM reactions n"
            " JOIN reactors r ON r.reaction = n.id WHERE n.post IN (SELECT value FROM json_each(?))"
            " GROUP BY n.id ORDER BY n.id",
            (viewer.id if viewer else None, post_ids),
        ):
            of_post = found.setdefault(post_id, {})
            value: dict[str, Any] = {"index": len(of_post), "count": count}
            if reactors:
                value["reactors"] = []
            if mine:
                value["you"] = True
            of_post[emoji] = by_reaction[reaction] = value
        if reactors and found:
            for reaction, session_id in self._database.execute(
                "SELECT reaction, session_id FROM (SELECT r.id, r.reaction, r.user,"
                " ROW_NUMBER() OVER (PARTITION BY r.reaction ORDER BY r.id) AS rank FROM reactors r"
                " WHERE r.reaction IN (SELECT value FROM json_each(?))) ranked"
                " JOIN users u ON u.id = ranked.user WHERE rank <= ? ORDER BY ranked.id",
                (orjson.dumps(list(by_reaction)).decode(), reactors),
            ):
                by_reaction[reaction]["reactors"].append(session_id)
        return found

    def _move_to_end(self, post: Post, changes: int) -> int:
        seqno = advance_sequence(self._database, post.room_id, changes)
        self._database.execute("UPDATE posts SET seqno = ? WHERE id = ?", (seqno, post.id))
        return seqno
