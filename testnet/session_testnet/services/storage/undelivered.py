"""What a node still owes others: forwarded requests they missed, and messages their swarm has got."""

import json
import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from session_protocol.swarms import choose_swarm, swarm_position
from session_testnet.services.registry import NetworkSnapshot
from session_testnet.services.sqlite_file import transaction

UNDELIVERED_SCHEMA: Final = """
    CREATE TABLE undelivered(
        peer TEXT NOT NULL,
        account BLOB NOT NULL,
        since INTEGER NOT NULL,
        serial INTEGER NOT NULL,
        PRIMARY KEY(peer, account)
    ) WITHOUT ROWID;
    CREATE TABLE network_view(
        id INTEGER PRIMARY KEY CHECK(id = 0),
        text TEXT NOT NULL
    );
"""


# What could not be written because the disk was full: it waits here, in memory, for room.
_WAITING: Final = """
    PRAGMA temp_store = MEMORY;
    CREATE TEMP TABLE waiting(
        peer TEXT NOT NULL,
        account BLOB NOT NULL,
        since INTEGER NOT NULL,
        serial INTEGER NOT NULL,
        PRIMARY KEY(peer, account)
    ) WITHOUT ROWID;
    CREATE TEMP VIEW owed AS
        SELECT peer, account, min(since) AS since, max(serial) AS serial
        FROM (SELECT * FROM main.undelivered UNION ALL SELECT * FROM temp.waiting) GROUP BY peer, account;
"""

_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Debt:
    """All changes of an account from the stamp ``since`` on, which a peer (Ed25519 key, hex) has not got.

    ``serial`` tells a debt from the same one that grew meanwhile.
    """

    peer: str
    account: bytes
    since: int
    serial: int = 0


@dataclass(frozen=True, slots=True)
class NetworkView:
    """What a node must remember of a network to see later what has changed for its messages."""

    own_swarm: int | None
    members: frozenset[str]
    swarm_ids: tuple[int, ...]

    @classmethod
    def of(cls, network: NetworkSnapshot, own_swarm: int | None) -> "NetworkView":
        """Return what a node of this swarm remembers of a network."""
        members = () if own_swarm is None else network.members(own_swarm)
        return cls(own_swarm, frozenset(member.ed25519_pk for member in members), network.swarm_ids)

    def was_in_charge(self, account: bytes) -> bool:
        """Tell whether the node answered for an account; without any swarm each node keeps what it has."""
        if not self.swarm_ids:
            return True
        return choose_swarm(swarm_position(account), self.swarm_ids) == self.own_swarm


class Undelivered:
    """Keep debts and the last view of the network in a node's database, so that they survive its end.

    While the disk is full they are kept in memory, and written as soon as there is room.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.executescript(_WAITING)
        self._view = self._read_view()
        self._view_is_written = True
        (last,) = db.execute("SELECT max(serial) FROM undelivered").fetchone()
        self._serial = int(last or 0)

    def add(self, debts: Iterable[Debt]) -> None:
        """Owe something; what is owed already grows to cover both."""
        rows = []
        for debt in debts:
            self._serial += 1
            rows.append((debt.peer, debt.account, debt.since, self._serial))
        with transaction(self._db):
            self._insert("temp.waiting", rows)
        self.write_down()

    def write_down(self) -> None:
        """Write to the disk what still waits for that, if there is room."""
        waiting = self._db.execute("SELECT * FROM temp.waiting ORDER BY serial").fetchall()
        if not waiting and self._view_is_written:
            return
        try:
            with transaction(self._db):
                self._insert("main.undelivered", waiting)
                self._db.execute("DELETE FROM temp.waiting")
                # The view goes last: a change of the network whose debts were lost is noticed again.
                self._write_view()
            self._view_is_written = True
        except sqlite3.OperationalError as error:
            _logger.warning("what other nodes have not got cannot be noted for a later start: %s", error)

    def _insert(self, table: str, rows: Iterable[tuple[str, bytes, int, int]]) -> None:
        self._db.executemany(
            f"INSERT INTO {table}(peer, account, since, serial) VALUES (?, ?, ?, ?)"  # noqa: S608 - a constant
            " ON CONFLICT DO UPDATE SET since = min(since, excluded.since), serial = excluded.serial",
            rows,
        )

    def settle(self, debt: Debt) -> None:
        """Strike a debt off, unless it has grown since it was read."""
        for table in ("main.undelivered", "temp.waiting"):
            self._db.execute(
                f"DELETE FROM {table} WHERE peer = ? AND account = ? AND serial <= ?",  # noqa: S608 - constants
                (debt.peer, debt.account, debt.serial),
            )

    def peers(self) -> list[str]:
        """Return the keys of all nodes that something is owed to."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT peer FROM owed ORDER BY peer")]

    def to(self, peer: str) -> list[Debt]:
        """Return what is owed to a peer, the oldest first."""
        rows = self._db.execute(
            "SELECT peer, account, since, serial FROM owed WHERE peer = ? ORDER BY serial", (peer,)
        )
        return [Debt(*row) for row in rows.fetchall()]

    def about(self, account: bytes) -> list[Debt]:
        """Return what is owed of an account, to whomever."""
        rows = self._db.execute(
            "SELECT peer, account, since, serial FROM owed WHERE account = ? ORDER BY peer", (account,)
        )
        return [Debt(*row) for row in rows.fetchall()]

    def everything(self) -> list[Debt]:
        """Return all debts."""
        rows = self._db.execute("SELECT peer, account, since, serial FROM owed ORDER BY serial")
        return [Debt(*row) for row in rows.fetchall()]

    def view(self) -> NetworkView | None:
        """Return the network as it was last seen; None before it was seen first."""
        return self._view

    def remember(self, view: NetworkView) -> None:
        """Keep the view of the network."""
        self._view, self._view_is_written = view, False
        self.write_down()

    def _read_view(self) -> NetworkView | None:
        row = self._db.execute("SELECT text FROM network_view").fetchone()
        if row is None:
            return None
        own_swarm, members, swarm_ids = json.loads(row[0])
        return NetworkView(own_swarm, frozenset(members), tuple(swarm_ids))

    def _write_view(self) -> None:
        if self._view is not None and not self._view_is_written:
            text = json.dumps([self._view.own_swarm, sorted(self._view.members), self._view.swarm_ids])
            self._db.execute("INSERT OR REPLACE INTO network_view(id, text) VALUES (0, ?)", (text,))
