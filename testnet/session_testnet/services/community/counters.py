"""The counters by which clients poll a room: of its messages, of its metadata (open-group-server §1)."""

import sqlite3


def advance_sequence(database: sqlite3.Connection, room_id: int, by: int = 1) -> int:
    """Count changes of a room's messages and return its new ``message_sequence``."""
    (sequence,) = database.execute(
        "UPDATE rooms SET message_sequence = message_sequence + ? WHERE id = ? RETURNING message_sequence",
        (by, room_id),
    ).fetchone()
    return int(sequence)


def advance_info(database: sqlite3.Connection, room_id: int, by: int = 1) -> int:
    """Count changes of a room's metadata, or none, and return its ``info_updates``."""
    (updates,) = database.execute(
        "UPDATE rooms SET info_updates = info_updates + ? WHERE id = ? RETURNING info_updates",
        (by, room_id),
    ).fetchone()
    return int(updates)
