"""Under which blinded id an Account ID turns up, and what waits for it there (open-group-server §13)."""

import sqlite3

from session_protocol.community import blind15_ids, blind25_id
from session_protocol.errors import ProtocolError
from session_testnet.services.community.settings import ServerSettings


class BlindedNames:
    """Match Account IDs and blinded ids on a server that requires blinding; elsewhere nothing matches."""

    def __init__(self, database: sqlite3.Connection, server_pk: bytes, settings: ServerSettings) -> None:
        self._database = database
        self._server_pk = server_pk
        self._settings = settings

    def candidates(self, session_id: str) -> list[str]:
        """Return the blinded ids that an Account ID may have here; none for any other id.

        Of version 15 there are two, which differ in the sign bit; of version 25, where the server lets it
        in, there is one.
        """
        if not self._settings.require_blinding or not session_id.startswith("05"):
            return []
        try:
            ids = list(blind15_ids(session_id, self._server_pk))
            if self._settings.accept_blinded25:
                ids.append(blind25_id(session_id, self._server_pk))
        except ProtocolError:
            # A made-up id whose key is no point of the curve: nobody can ever sign as it.
            return []
        return ids

    def wait_for(self, candidates: list[str], user_id: int) -> None:
        """Remember that what a user has waits for the first contact of one of these ids."""
        self._database.executemany(
            "INSERT OR REPLACE INTO pending_blinding VALUES (?, ?)",
            [(key, user_id) for key in sorted({_key(candidate) for candidate in candidates})],
        )

    def take_waiting(self, session_id: str) -> int | None:
        """Return the user whose rights wait for an id, None when nobody's do, and forget the wait."""
        if not session_id.startswith(("15", "25")):
            return None
        row = self._database.execute(
            "SELECT user FROM pending_blinding WHERE blinded_id = ?", (_key(session_id),)
        ).fetchone()
        if row is None:
            return None
        self._database.execute("DELETE FROM pending_blinding WHERE user = ?", (row[0],))
        return int(row[0])


def _key(blinded_id: str) -> str:
    """Return what an id is remembered by: of version 15 the one of both whose sign bit is clear."""
    if not blinded_id.startswith("15"):
        return blinded_id
    return f"{blinded_id[:64]}{int(blinded_id[64], 16) & 7:x}{blinded_id[65]}"
