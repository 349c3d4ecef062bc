"""Ask the community server's own JSON interface as somebody without an account."""

from collections.abc import Callable
from typing import Any, Final

import orjson

from session_testnet.services.exchange import ServiceRequest, ServiceResponse

Json = dict[str, Any]

# Reactions change a message as well (open-group-server §9.2); who reacted is not shown.
_WITH_REACTIONS: Final = "t=r&reactors=0"


class Refused(Exception):
    """Say which status the JSON interface refused a question with."""

    def __init__(self, status: int) -> None:
        super().__init__(f"refused with {status}")
        self.status = status


class Stranger:
    """Read rooms; every method raises :class:`Refused` with the status of a refusal."""

    def __init__(self, ask: Callable[[ServiceRequest], ServiceResponse]) -> None:
        self._ask = ask

    def rooms(self) -> list[Json]:
        """Return the Room objects of the rooms that a stranger may know of."""
        return self._list("/rooms")

    def room(self, token: str) -> Json:
        """Return a Room object."""
        return self._object(f"/room/{token}")

    def recent(self, token: str, limit: int) -> list[Json]:
        """Return the newest messages, newest first."""
        return self._list(f"/room/{token}/messages/recent?limit={limit}&{_WITH_REACTIONS}")

    def before(self, token: str, message_id: int, limit: int) -> list[Json]:
        """Return the messages with smaller ids, newest first."""
        return self._list(f"/room/{token}/messages/before/{message_id}?limit={limit}&{_WITH_REACTIONS}")

    def since(self, token: str, seqno: int, limit: int) -> list[Json]:
        """Return what changed after a seqno, oldest change first: whole messages, and tombstones."""
        rows = self._list(f"/room/{token}/messages/since/{seqno}?limit={limit}&{_WITH_REACTIONS}")
        return [self._whole(token, row) for row in rows]

    def file(self, token: str, file_id: int) -> bytes:
        """Return the bytes of a file of a room."""
        return self._get(f"/room/{token}/file/{file_id}").body

    def _whole(self, token: str, row: Json) -> Json:
        """Complete a row that tells of reactions only."""
        if "data" in row or row.get("deleted"):
            return row
        return {**self._object(f"/room/{token}/message/{row['id']}"), "seqno": row["seqno"]}

    def _list(self, target: str) -> list[Json]:
        answer: list[Json] = orjson.loads(self._get(target).body)
        return answer

    def _object(self, target: str) -> Json:
        answer: Json = orjson.loads(self._get(target).body)
        return answer

    def _get(self, target: str) -> ServiceResponse:
        answer = self._ask(ServiceRequest.from_target("GET", target, {}))
        if not answer.is_success:
            raise Refused(answer.status)
        return answer
