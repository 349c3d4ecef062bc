"""A room under everything at once: its counters, who may do what, and what a polling client ends up with."""

import base64
import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from session_protocol.accounts import Account
from session_protocol.community import auth_headers
from session_testnet.clock import Clock
from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.exchange import ServiceRequest, ServiceResponse
from session_testnet.topology import RoomSpec
from session_testnet.trace import Trace

NOW_S = 1_760_000_000
SIGNATURE = "A" * 86
LOBBY = "/room/lobby"
# A page holds more than a run makes. Where it does not, the protocol has a gap of its own: a message that got
# its place on the next page only by a reaction comes there as that reaction alone.
EVERYTHING = "limit=256&reactors=20"

ACCOUNTS = {
    name: Account.from_seed(name.encode().ljust(32, b".")) for name in ("admin", "bob", "carol", "dave")
}
EMOJI = st.sampled_from(["x", "y", "🍍"])
ACTORS = st.sampled_from(list(ACCOUNTS))
# These two become moderators, and are banned; what the others may see never changes.
CHANGING = st.sampled_from(["bob", "carol"])
MOSTLY = st.sampled_from([True, True, True, False])
FOLLOWERS = ("admin", "dave", None)


@dataclass
class Message:
    """What the model knows of a message that is not deleted."""

    author: str
    data: bytes
    to: str | None
    # In the order in which they came.
    reactions: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_whisper(self) -> bool:
        return self.to is not None

    def is_shown_to(self, name: str | None) -> bool:
        """Whether a follower sees it; of those the admin moderates."""
        return self.to in (None, name) or (name == "admin" and (self.to == "mods" or self.author == name))

    def reactors(self) -> dict[str, list[str]]:
        """Who reacted with what: emoji and reactors in order."""
        found: dict[str, list[str]] = {}
        for emoji, who in self.reactions:
            found.setdefault(emoji, []).append(who)
        return found


@dataclass
class Follower:
    """A client that only asks for what is new: since a seqno, and since an update of the room."""

    cursor: int = 0
    updates: int = 0
    shown: dict[int, dict[str, Any]] = field(default_factory=dict)
    room: dict[str, Any] = field(default_factory=dict)


class Room(RuleBasedStateMachine):
    """Members act on a room, an operator changes who they are, followers poll."""

    @initialize()
    def start(self) -> None:
        clock = Clock(lambda: NOW_S * 1_000_000_000)
        self.clock = clock
        self.server = CommunityServer(
            bytes(32),
            clock=clock,
            trace=Trace(clock),
            rooms=[RoomSpec("lobby")],
            roles=[Role(ACCOUNTS["admin"].account_id, "lobby", admin=True)],
            require_blinding=False,
            rate_limit=False,
        )
        self.messages: dict[int, Message] = {}
        self.pins: list[int] = []
        self.moderators = {"admin"}
        self.banned: set[str] = set()
        # Those of the banned who are kept off the whole server.
        self.shut_out: set[str] = set()
        self.exceptions: dict[tuple[str | None, str], bool | None] = {}
        self.may = {"read": True, "write": True}
        self.posted = 0
        self.sequence = 0
        self.info_updates = self.room()["info_updates"]
        self.followers = {name: Follower() for name in FOLLOWERS}
        for who in ("bob", "carol", "dave"):
            self.post(who=who, text=b"hello", to=None)
        self.post(who="admin", text=b"hush", to="dave")

    def teardown(self) -> None:
        if hasattr(self, "server"):
            self.server.close()

    # How things are asked, and who may.

    def ask(self, who: str | None, method: str, target: str, document: Any = None) -> ServiceResponse:
        body = b"" if document is None else orjson.dumps(document)
        headers = {"Content-Type": "application/json"}
        if who is not None:
            headers |= auth_headers(
                ACCOUNTS[who],
                bytes.fromhex(self.server.public_key),
                method,
                target,
                body,
                nonce=os.urandom(16),
                timestamp_s=self.clock.now_ms() // 1000,
                mode="unblinded",
            )
        return self.server.handle(ServiceRequest.from_target(method, target, headers, body))

    def answer(self, status: int, who: str | None, method: str, target: str, document: Any = None) -> Any:
        answer = self.ask(who, method, target, document)
        assert answer.status == status, (answer.status, answer.body)
        return orjson.loads(answer.body) if answer.is_success else None

    def room(self) -> dict[str, Any]:
        found = self.answer(200, None, "GET", LOBBY)
        assert isinstance(found, dict)
        return found

    def allowed(self, who: str | None, right: str) -> bool:
        exception = self.exceptions.get((who, right))
        allowed = self.may[right] if exception is None else exception
        return who not in self.banned and (who in self.moderators or allowed)

    def some(self, data: st.DataObject) -> int:
        """Choose a message, mostly one that is still there."""
        return data.draw(st.sampled_from([*self.messages, *self.messages, self.posted]), label="message")

    # What members do.

    @rule(who=ACTORS, text=st.binary(max_size=3), to=st.sampled_from([None, None, None, *ACCOUNTS, "mods"]))
    def post(self, who: str, text: bytes, to: str | None) -> None:
        document: dict[str, Any] = {"data": base64.b64encode(text).decode(), "signature": SIGNATURE}
        if to == "mods":
            document["whisper_mods"] = True
        elif to is not None:
            document["whisper_to"] = ACCOUNTS[to].account_id
        if not self.allowed(who, "write") or (to is not None and who not in self.moderators):
            self.answer(403, who, "POST", f"{LOBBY}/message", document)
            return
        self.posted += 1
        self.sequence += 1
        posted = self.answer(201, who, "POST", f"{LOBBY}/message", document)
        assert (posted["id"], posted["seqno"]) == (self.posted, self.sequence)
        self.messages[self.posted] = Message(who, text, to)

    @rule(who=ACTORS, text=st.binary(max_size=3), data=st.data())
    def edit(self, who: str, text: bytes, data: st.DataObject) -> None:
        number = self.some(data)
        message = self.messages.get(number)
        document = {"data": base64.b64encode(text).decode(), "signature": SIGNATURE}
        target = f"{LOBBY}/message/{number}"
        if not self.allowed(who, "write") or (message and message.author != who):
            self.answer(403, who, "PUT", target, document)
        elif message is None:
            self.answer(404, who, "PUT", target, document)
        else:
            self.answer(200, who, "PUT", target, document)
            self.sequence += text != message.data
            message.data = text

    @rule(who=ACTORS, data=st.data())
    def delete(self, who: str, data: st.DataObject) -> None:
        number = self.some(data)
        message = self.messages.get(number)
        target = f"{LOBBY}/message/{number}"
        if not self.allowed(who, "write"):
            self.answer(403, who, "DELETE", target)
        elif message is None:
            self.answer(404, who, "DELETE", target)
        elif who not in self.moderators and message.author != who:
            self.answer(403, who, "DELETE", target)
        else:
            self.answer(200, who, "DELETE", target)
            self.forget(number)

    @rule(who=ACTORS, victim=ACTORS)
    def delete_all(self, who: str, victim: str) -> None:
        theirs = [number for number, message in self.messages.items() if message.author == victim]
        self.ask(victim, "GET", LOBBY)
        target = f"{LOBBY}/all/{ACCOUNTS[victim].account_id}"
        # What is one's own goes even from a room that one is banned from.
        if who in self.shut_out or (who != victim and who not in self.moderators):
            self.answer(403, who, "DELETE", target)
            return
        self.answer(200 if theirs else 404, who, "DELETE", target)
        for number in theirs:
            self.forget(number)

    def forget(self, number: int) -> None:
        self.sequence += 1 + len(self.messages.pop(number).reactions)
        if number in self.pins:
            self.pins.remove(number)
            self.info_updates += 1

    @rule(members=st.lists(ACTORS, min_size=1, max_size=3), emoji=EMOJI, data=st.data(), add=st.booleans())
    def react(self, members: list[str], emoji: str, data: st.DataObject, add: bool) -> None:
        number = self.some(data)
        for who in members:
            self.react_once(who, number, emoji, add)

    def react_once(self, who: str, number: int, emoji: str, add: bool) -> None:
        message = self.messages.get(number)
        method, target = ("PUT" if add else "DELETE"), f"{LOBBY}/reaction/{number}/{quote(emoji)}"
        if not self.allowed(who, "read"):
            self.answer(403, who, method, target)
        elif message is None or message.is_whisper:
            self.answer(404, who, method, target)
        else:
            changes = add is ((emoji, who) not in message.reactions)
            self.sequence += changes
            answer = self.answer(200, who, method, target)
            assert answer["added" if add else "removed"] is changes
            assert not changes or answer["seqno"] == self.sequence
            if changes:
                self.change_reactions(message, emoji, who, add)

    def change_reactions(self, message: Message, emoji: str, who: str, add: bool) -> None:
        if not add:
            message.reactions.remove((emoji, who))
            return
        # Behind the others with this emoji, which keeps its place among the emoji.
        order = [*message.reactors(), emoji]
        message.reactions.append((emoji, who))
        message.reactions.sort(key=lambda entry: order.index(entry[0]))

    @rule(who=ACTORS, emoji=st.none() | EMOJI, data=st.data())
    def clear_reactions(self, who: str, emoji: str | None, data: st.DataObject) -> None:
        number = self.some(data)
        message = self.messages.get(number)
        target = f"{LOBBY}/reactions/{number}" + (f"/{quote(emoji)}" if emoji else "")
        if who in self.banned or who not in self.moderators:
            self.answer(403, who, "DELETE", target)
        elif message is None or message.is_whisper:
            self.answer(404, who, "DELETE", target)
        else:
            gone = [entry for entry in message.reactions if emoji in (None, entry[0])]
            self.sequence += len(gone)
            assert self.answer(200, who, "DELETE", target)["removed"] == len(gone)
            message.reactions = [entry for entry in message.reactions if entry not in gone]

    @rule(who=st.sampled_from(["admin", "admin", "bob"]), data=st.data(), add=st.booleans())
    def pin(self, who: str, data: st.DataObject, add: bool) -> None:
        for _ in range(2):
            self.pin_once(who, self.some(data), add)

    def pin_once(self, who: str, number: int, add: bool) -> None:
        message = self.messages.get(number)
        target = f"{LOBBY}/{'pin' if add else 'unpin'}/{number}"
        if who != "admin":
            self.answer(403, who, "POST", target)
        elif add and (message is None or message.is_whisper):
            self.answer(404, who, "POST", target)
        else:
            was_pinned = number in self.pins
            if was_pinned:
                self.pins.remove(number)
            if add:
                self.pins.append(number)
            self.info_updates += add or was_pinned
            answer = self.answer(200, who, "POST", target)
            assert answer["info_updates"] == self.info_updates
            assert answer.get("unpinned", was_pinned) is was_pinned

    @rule()
    def unpin_all(self) -> None:
        self.info_updates += len(self.pins)
        assert self.answer(200, "admin", "POST", f"{LOBBY}/unpin/all") == {
            "unpinned": len(self.pins),
            "info_updates": self.info_updates,
        }
        self.pins.clear()

    # What an admin and the operator do.

    def as_admin(self, method: str, target: str, document: Any) -> Any:
        return self.answer(200, "admin", method, target, document)

    @rule(who=CHANGING, everywhere=st.booleans())
    def ban(self, who: str, everywhere: bool) -> None:
        if who in self.moderators:
            return
        if everywhere:
            self.server.ban(ACCOUNTS[who].account_id)
            self.shut_out.add(who)
        else:
            self.as_admin("POST", f"/user/{ACCOUNTS[who].account_id}/ban", {"rooms": ["lobby"]})
        self.banned.add(who)

    @rule(who=CHANGING)
    def let_in(self, who: str) -> None:
        self.server.ban(ACCOUNTS[who].account_id, banned=False)
        self.as_admin("POST", f"/user/{ACCOUNTS[who].account_id}/unban", {"rooms": ["lobby"]})
        self.banned.discard(who)
        self.shut_out.discard(who)

    @rule(who=CHANGING)
    def promote_or_demote(self, who: str) -> None:
        if who not in self.banned:
            self.moderators ^= {who}
            self.info_updates += 1
            change = {"rooms": ["lobby"], "moderator": who in self.moderators}
            answer = self.as_admin("POST", f"/user/{ACCOUNTS[who].account_id}/moderator", change)
            assert answer == {"info_updates": {"lobby": self.info_updates}}

    @rule(read=MOSTLY, write=MOSTLY)
    def change_defaults(self, read: bool, write: bool) -> None:
        self.may = {"read": read, "write": write}
        self.as_admin("PUT", LOBBY, {"default_read": read, "default_write": write})

    @rule(who=CHANGING, right=st.sampled_from(["read", "write"]), value=st.none() | st.booleans())
    def make_an_exception(self, who: str, right: str, value: bool | None) -> None:
        change = {f"default_{right}": True} if value is None else {right: value}
        self.as_admin("POST", f"{LOBBY}/permissions/{ACCOUNTS[who].account_id}", change)
        self.exceptions[who, right] = value

    @rule(hours=st.integers(1, 400))
    def let_time_pass(self, hours: int) -> None:
        self.clock.move(hours * 3_600_000)
        self.server.cleanup()

    # What clients see of it.

    @precondition(lambda self: self.posted <= 256)
    @rule(name=st.sampled_from(FOLLOWERS))
    def follow(self, name: str | None) -> None:
        follower = self.followers[name]
        changes = f"{LOBBY}/messages/since/{follower.cursor}?t=r&{EVERYTHING}"
        if not self.allowed(name, "read"):
            self.answer(403, name, "GET", changes)
            return
        for row in self.answer(200, name, "GET", changes):
            assert row["seqno"] > follower.cursor
            follower.cursor = row["seqno"]
            if "session_id" not in row:
                # A client that is told of reactions alone has the message.
                follower.shown[row["id"]] |= row
            elif "deleted" in row:
                # A client hears also of deletions between what it had and what it got last.
                follower.shown.pop(row["id"], None)
            else:
                follower.shown[row["id"]] = row
        everything = self.answer(200, name, "GET", f"{LOBBY}/messages/recent?{EVERYTHING}")
        assert follower.shown == {row["id"]: row for row in everything}
        self.check_against_model(name, follower.shown)

        poll = self.answer(200, name, "GET", f"{LOBBY}/pollInfo/{follower.updates}")
        if "details" in poll:
            follower.room, follower.updates = poll["details"], poll["details"]["info_updates"]
        room = self.room()
        for member in ("pinned_messages", "moderators", "admins", "info_updates"):
            assert follower.room.get(member) == room.get(member)

    def check_against_model(self, name: str | None, shown: dict[int, dict[str, Any]]) -> None:
        visible = {number for number, message in self.messages.items() if message.is_shown_to(name)}
        assert shown.keys() == visible
        for number, row in shown.items():
            message = self.messages[number]
            assert base64.b64decode(row["data"]) == message.data
            assert row["session_id"] == ACCOUNTS[message.author].account_id
            expected = {}
            for place, (emoji, who) in enumerate(message.reactors().items()):
                reactors = [ACCOUNTS[reactor].account_id for reactor in who]
                expected[emoji] = {"index": place, "count": len(who), "reactors": reactors}
                if name in who:
                    expected[emoji]["you"] = True
            assert row["reactions"] == expected

    @invariant()
    def the_counters_count_every_change(self) -> None:
        room = self.room()
        assert room["message_sequence"] == self.sequence
        assert room["info_updates"] == self.info_updates
        assert [entry["id"] for entry in room.get("pinned_messages", [])] == self.pins


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Room, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    )


def test_a_room_under_everything_at_once():
    run(60, 35)


@pytest.mark.nightly
def test_a_room_under_everything_at_once_for_long():
    run(1500, 60)
