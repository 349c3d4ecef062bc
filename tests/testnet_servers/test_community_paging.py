"""Lists of messages against a model (open-group-server §9.2)."""

import base64
import os
from dataclasses import dataclass, field

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from session_protocol.accounts import Account
from session_protocol.community import auth_headers
from session_testnet.clock import Clock
from session_testnet.services.community import CommunityServer
from session_testnet.services.exchange import ServiceRequest
from session_testnet.topology import RoomSpec
from session_testnet.trace import Trace

NOW_S = 1_760_000_000
SIGNATURE = base64.b64encode(bytes(64)).decode()
ROOMS = ("lobby", "annex")


@dataclass
class Message:
    id: int
    room: str
    data: bytes | None
    seqno: int
    created: int


@dataclass
class Poller:
    """A client that keeps the largest seqno it has received, and what it shows."""

    cursor: int = 0
    shown: dict[int, bytes] = field(default_factory=dict)


class Rooms(RuleBasedStateMachine):
    """Change messages and poll, in two rooms at once; the model keeps a plain list."""

    @initialize()
    def start(self):
        clock = Clock(lambda: NOW_S * 1_000_000_000)
        self.server = CommunityServer(
            bytes(32),
            clock=clock,
            trace=Trace(clock),
            rooms=[RoomSpec(token) for token in ROOMS],
            require_blinding=False,
            rate_limit=False,
        )
        self.account = Account.from_seed(bytes(31) + b"\x01")
        self.messages: list[Message] = []
        self.seqnos = dict.fromkeys(ROOMS, 0)
        self.pollers = {room: Poller() for room in ROOMS}

    def teardown(self):
        if hasattr(self, "server"):
            self.server.close()

    def ask(self, method, target, document=None):
        body = b"" if document is None else orjson.dumps(document)
        headers = auth_headers(
            self.account,
            bytes.fromhex(self.server.public_key),
            method,
            target,
            body,
            nonce=os.urandom(16),
            timestamp_s=NOW_S,
            mode="unblinded",
        ) | {"Content-Type": "application/json"}
        answer = self.server.handle(ServiceRequest.from_target(method, target, headers, body))
        assert answer.is_success, answer.body
        return orjson.loads(answer.body)

    def next_seqno(self, room):
        self.seqnos[room] += 1
        return self.seqnos[room]

    def live(self, room):
        return [message for message in self.messages if message.room == room and message.data is not None]

    @rule(room=st.sampled_from(ROOMS), data=st.binary(max_size=4), count=st.integers(1, 4))
    def post(self, room, data, count):
        for _ in range(count):
            document = {"data": base64.b64encode(data).decode(), "signature": SIGNATURE}
            answer = self.ask("POST", f"/room/{room}/message", document)
            seqno = self.next_seqno(room)
            message = Message(len(self.messages) + 1, room, data, seqno, seqno)
            assert (answer["id"], answer["seqno"]) == (message.id, seqno)
            self.messages.append(message)

    @precondition(lambda self: any(message.data is not None for message in self.messages))
    @rule(choice=st.data(), data=st.binary(max_size=4))
    def edit(self, choice, data):
        message = choice.draw(st.sampled_from([m for m in self.messages if m.data is not None]))
        document = {"data": base64.b64encode(data).decode(), "signature": SIGNATURE}
        self.ask("PUT", f"/room/{message.room}/message/{message.id}", document)
        if data != message.data:
            message.data, message.seqno = data, self.next_seqno(message.room)

    @precondition(lambda self: any(message.data is not None for message in self.messages))
    @rule(choice=st.data())
    def delete(self, choice):
        message = choice.draw(st.sampled_from([m for m in self.messages if m.data is not None]))
        self.ask("DELETE", f"/room/{message.room}/message/{message.id}")
        message.data, message.seqno = None, self.next_seqno(message.room)

    @rule(room=st.sampled_from(ROOMS), seqno=st.integers(0, 30), limit=st.integers(1, 5))
    def since(self, room, seqno, limit):
        found = self.ask("GET", f"/room/{room}/messages/since/{seqno}?limit={limit}")
        expected = sorted(
            (message.seqno, message.id, message.data)
            for message in self.messages
            if message.room == room
            and message.seqno > seqno
            and (message.data is not None or message.created <= seqno)
        )
        assert [(row["seqno"], row["id"], decoded(row)) for row in found] == expected[:limit]
        assert all(("deleted" in row) == (row["data"] is None) for row in found)

    @rule(room=st.sampled_from(ROOMS), limit=st.integers(1, 5))
    def page_backwards(self, room, limit):
        expected = [(message.id, message.data) for message in reversed(self.live(room))]
        page = self.ask("GET", f"/room/{room}/messages/recent?limit={limit}")
        found = list(page)
        while len(page) == limit:
            oldest = page[-1]["id"]
            page = self.ask("GET", f"/room/{room}/messages/before/{oldest}?limit={limit}")
            assert all(row["id"] < oldest for row in page)
            found += page
        assert [(row["id"], decoded(row)) for row in found] == expected

    @rule(room=st.sampled_from(ROOMS), limit=st.integers(1, 5), pages=st.integers(1, 3))
    def poll_a_little(self, room, limit, pages):
        for _ in range(pages):
            self.poll_once(room, limit)

    @rule(room=st.sampled_from(ROOMS), limit=st.integers(1, 5))
    def poll_to_the_end(self, room, limit):
        while self.poll_once(room, limit) == limit:
            pass
        # However the pages fell between the changes: a client that has polled to the end shows what is there.
        shown = self.pollers[room].shown
        assert shown == {message.id: message.data for message in self.live(room)}

    def poll_once(self, room, limit):
        poller = self.pollers[room]
        rows = self.ask("GET", f"/room/{room}/messages/since/{poller.cursor}?t=r&reactors=5&limit={limit}")
        for row in rows:
            assert row["seqno"] > poller.cursor
            poller.cursor = row["seqno"]
            if row["data"] is None:
                poller.shown.pop(row["id"], None)
            else:
                poller.shown[row["id"]] = decoded(row)
        return len(rows)

    @invariant()
    def the_sequence_counts_every_change(self):
        for room in ROOMS:
            assert self.ask("GET", f"/room/{room}")["message_sequence"] == self.seqnos[room]


def decoded(row):
    return None if row["data"] is None else base64.b64decode(row["data"])


TestRooms = Rooms.TestCase
TestRooms.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
