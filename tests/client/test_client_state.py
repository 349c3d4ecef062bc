"""What a client remembers: network time, swarms, conversations."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_testnet.client.bootstrap import UNKNOWN_ADDRESSES, parse_node_list
from session_testnet.client.errors import BadReply, Refused
from session_testnet.client.files import file_id_of
from session_testnet.client.message_store import MessageStore, ReceivedMessage
from session_testnet.client.network_time import NetworkTime, TimeSample
from session_testnet.client.swarm import Swarm, SwarmCache, parse_swarm

ALICE, BOB = "05" + "aa" * 32, "05" + "bb" * 32
KEY, OTHER_KEY = "d0" * 32, "7a" * 32


class TestNetworkTime:
    @settings(deadline=None, derandomize=True)
    @given(
        st.integers(0, 10**13),
        st.integers(-(10**9), 10**9),
        st.integers(0, 4000),
    )
    def test_an_offset_is_measured_in_the_middle_of_the_round_trip(
        self, sent: int, offset: int, trip: int
    ) -> None:
        sample = TimeSample(sent + trip // 2 + offset, sent, sent + trip)
        assert abs(sample.offset_ms - offset) <= 1

    def test_one_wrong_clock_among_three_does_not_matter(self) -> None:
        time = NetworkTime(lambda: 1_000_000)
        time.learn([TimeSample(1_000_010, 1_000_000, 1_000_000) for _ in range(2)] + [TimeSample(9, 0, 0)])
        assert time.now_ms() == 1_000_010

    def test_a_node_that_stays_wrong_is_no_longer_believed(self) -> None:
        time = NetworkTime(lambda: 0)
        wrong = TimeSample(60_000, 0, 0)
        assert time.contradicts("node", wrong)
        time.learn([TimeSample(0, 0, 0)])
        time.judge("node", wrong)
        assert not time.contradicts("node", wrong)
        assert time.contradicts("other", wrong)

    def test_a_slow_answer_is_no_contradiction(self) -> None:
        assert not NetworkTime(lambda: 0).contradicts("node", TimeSample(9_000, 0, 20_000))


def snode(**changes: Any) -> dict[str, Any]:
    entry = {
        "address": "x.snode",
        "ip": "127.0.1.1",
        "port": "22021",
        "port_https": 22021,
        "port_omq": 22020,
        "pubkey_ed25519": KEY,
        "pubkey_x25519": OTHER_KEY,
    }
    return {key: value for key, value in (entry | changes).items() if value is not None}


class TestSwarm:
    def test_reads_what_nodes_write(self) -> None:
        swarm = parse_swarm({"snodes": [snode()], "swarm": "7fffffffffffffff", "t": 1}, "test")
        assert swarm is not None
        assert swarm.swarm_id == "7fffffffffffffff"
        assert [(node.ed25519_pk, node.port) for node in swarm.members] == [(KEY, 22021)]

    def test_reads_the_historic_port(self) -> None:
        swarm = parse_swarm({"snodes": [snode(port_https=None)]}, "test")
        assert swarm is not None
        assert swarm.members[0].port == 22021

    @pytest.mark.parametrize(
        "body", ["wrong swarm", {}, {"snodes": []}, {"snodes": [snode(ip=next(iter(UNKNOWN_ADDRESSES)))]}]
    )
    def test_no_usable_member_is_no_swarm(self, body: Any) -> None:
        assert parse_swarm(body, "test") is None

    @pytest.mark.parametrize(
        "entry",
        [
            snode(ip="localhost"),
            snode(port_https="x"),
            snode(pubkey_ed25519="d0"),
            snode(pubkey_x25519=5),
            "x",
        ],
    )
    def test_a_malformed_member_is_named(self, entry: Any) -> None:
        with pytest.raises(BadReply, match=r"snodes\[1\]"):
            parse_swarm({"snodes": [snode(), entry]}, "test")

    def test_a_swarm_that_shrinks_is_looked_up_again(self) -> None:
        swarm = parse_swarm(
            {"snodes": [snode(pubkey_ed25519=f"{number:064x}") for number in range(4)]}, "test"
        )
        assert swarm is not None
        cache = SwarmCache()
        cache.put(ALICE, swarm)
        cache.drop_member(ALICE, swarm.members[0].ed25519_pk)
        assert cache.get(ALICE) == Swarm("", swarm.members[1:])
        cache.drop_member(ALICE, swarm.members[1].ed25519_pk)
        assert cache.get(ALICE) is None

    def test_a_swarm_that_was_never_larger_is_kept(self) -> None:
        swarm = parse_swarm({"snodes": [snode()]}, "test")
        assert swarm is not None
        cache = SwarmCache()
        cache.put(ALICE, swarm)
        assert cache.get(ALICE) is swarm
        cache.forget(ALICE)
        assert cache.get(ALICE) is None


def listing(*entries: Any) -> bytes:
    return json.dumps({"result": {"service_node_states": entries, "status": "OK"}}).encode()


def state(**changes: Any) -> dict[str, Any]:
    return {
        "public_ip": "127.0.1.1",
        "storage_port": 22021,
        "pubkey_ed25519": KEY,
        "pubkey_x25519": OTHER_KEY,
    } | changes


class TestNodeList:
    def test_reads_a_registry(self) -> None:
        (node,) = parse_node_list(listing(state(pubkey_ed25519=KEY.upper())), "test")
        assert (node.ed25519_pk, node.x25519_pk, node.base_url) == (KEY, OTHER_KEY, "https://127.0.1.1:22021")

    @pytest.mark.parametrize("ip", sorted(UNKNOWN_ADDRESSES))
    def test_leaves_out_nodes_without_address(self, ip: str) -> None:
        nodes = parse_node_list(listing(state(public_ip=ip, pubkey_ed25519="11" * 32), state()), "test")
        assert [node.ed25519_pk for node in nodes] == [KEY]

    def test_leaves_out_the_second_entry_of_a_key(self) -> None:
        assert len(parse_node_list(listing(state(), state(public_ip="127.0.2.1")), "test")) == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"public_ip": "seed1.getsession.org"},
            {"public_ip": None},
            {"storage_port": "22021"},
            {"storage_port": 0},
            {"storage_port": 70_000},
            {"storage_port": True},
            {"pubkey_ed25519": "zz" * 32},
            {"pubkey_x25519": KEY[:-2]},
        ],
    )
    def test_one_malformed_node_refuses_the_list(self, changes: dict[str, Any]) -> None:
        with pytest.raises(BadReply, match=r"service_node_states\[1\]"):
            parse_node_list(listing(state(), state(**changes)), "test")

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"error":{"code":-32601}}', b"<html>"])
    def test_anything_else_is_no_list(self, body: bytes) -> None:
        with pytest.raises(BadReply, match="service_node_states"):
            parse_node_list(body, "test")


class TestFileIds:
    @pytest.mark.parametrize(
        ("url", "file_id"),
        [
            ("http://filev2.getsession.org/file/1234", "1234"),
            ("http://127.0.0.1:8000/file/1234#p=ab&d=", "1234"),
            ("http://host/files/77", "77"),
            ("1234", "1234"),
            ("http://host/file/" + "Az-_" * 11, "Az-_" * 11),
        ],
    )
    def test_finds_the_id(self, url: str, file_id: str) -> None:
        assert file_id_of(url) == file_id

    @pytest.mark.parametrize("url", ["", "http://host/", "http://host/file/", "http://host/file/a b", "../x"])
    def test_refuses_the_rest(self, url: str) -> None:
        with pytest.raises(Refused, match="URL of a file"):
            file_id_of(url)


def text(author: str, timestamp_ms: int, body: str = "x") -> ReceivedMessage:
    return ReceivedMessage(
        author, timestamp_ms, {"kind": "text", "body": body}, f"hash{timestamp_ms}", 0, BOB, author == ALICE
    )


class TestMessageStore:
    def test_author_and_time_identify_a_message(self) -> None:
        store = MessageStore()
        assert store.add(text(BOB, 5))
        assert not store.add(text(BOB, 5, "again"))
        assert store.add(text(ALICE, 5))
        assert len(store.at(BOB, 5)) == 2

    @settings(deadline=None, derandomize=True)
    @given(st.lists(st.integers(0, 50), unique=True))
    def test_a_conversation_is_in_order_of_time(self, times: list[int]) -> None:
        store = MessageStore()
        for time in times:
            store.add(text(BOB, time))
        shown = [stored.message.timestamp_ms for stored in store.conversation(BOB, since_ms=10)]
        assert shown == sorted(time for time in times if time >= 10)

    def test_a_deleted_message_does_not_come_back(self) -> None:
        store = MessageStore()
        store.add(text(BOB, 5))
        assert store.delete(BOB, BOB, 5) == text(BOB, 5)
        assert store.conversation(BOB) == []
        assert not store.add(text(BOB, 5))

    def test_an_unsend_request_that_comes_first_wins(self) -> None:
        store = MessageStore()
        assert store.delete(BOB, BOB, 5) is None
        assert not store.add(text(BOB, 5))

    def test_reactions_come_and_go(self) -> None:
        store = MessageStore()
        store.add(text(BOB, 5))
        for author in (ALICE, BOB, ALICE):
            assert store.react(BOB, BOB, 5, "👍", author, remove=False)
        stored = store.find(BOB, BOB, 5)
        assert stored is not None
        assert stored.reactions == {"👍": [ALICE, BOB]}
        store.react(BOB, BOB, 5, "👍", ALICE, remove=True)
        store.react(BOB, BOB, 5, "👍", BOB, remove=True)
        assert stored.reactions == {}
        assert not store.react(BOB, BOB, 6, "👍", ALICE, remove=False)

    def test_read_marks_stay_with_their_conversation(self) -> None:
        store = MessageStore()
        store.add(text(BOB, 5))
        store.mark_read(ALICE, 5)
        assert not store.conversation(BOB)[0].read
        store.mark_read(BOB, 5)
        assert store.conversation(BOB)[0].read
