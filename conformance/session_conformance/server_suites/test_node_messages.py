"""Judge how a service node keeps messages and gives them back (storage-rpc §§7, 10.1, 10.2)."""

import base64
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from session_conformance.checks import check
from session_conformance.contract import Testee
from session_conformance.fixtures import CaseContext
from session_conformance.servers.answers import member, only
from session_conformance.servers.node import DAY_MS, SECOND_MS, JudgedNode, assert_signed
from session_protocol.accounts import Account

on_node = partial(check, features={"server": "storage"})
bodies = st.binary(min_size=1, max_size=300)
namespaces = st.sampled_from([0, 10, -20, 2, 3, 5, 11, -42, 123])
several = st.lists(bodies, min_size=1, max_size=6, unique=True)


@on_node("NODE-01", "NODE-02", "NODE-03")
@given(data=bodies, namespace=namespaces)
def test_stores_on_the_whole_swarm(testee: Testee, case: CaseContext, data: bytes, namespace: int) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    expiry = node.now() + DAY_MS
    answer = node.try_store(account, data, signed=namespace % 10 != 0, namespace=namespace, expiry=expiry)
    reply = answer.ok()
    message = node.store(account, data, namespace=namespace, expiry=expiry)  # verifies the hash
    assert reply["hash"] == message
    for key, entry in node.entries(account, reply).items():
        assert entry["hash"] == message
        assert entry["expiry"] == expiry
        assert_signed(key, entry, [message])


@on_node("NODE-04")
@given(data=bodies, namespace=namespaces, age=st.integers(0, 3600))
def test_gives_back_what_was_stored(
    testee: Testee, case: CaseContext, data: bytes, namespace: int, age: int
) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    timestamp = node.now() - age * SECOND_MS
    expiry = timestamp + DAY_MS
    message = node.store(
        account, data, namespace=namespace, timestamp=timestamp, expiry=expiry, sig_timestamp=node.now()
    )
    found = only(node.retrieve(account, namespace=namespace))
    assert found == {
        "hash": message,
        "timestamp": timestamp,
        "expiration": expiry,
        "data": base64.b64encode(data).decode(),
    }


@on_node("NODE-05", "NODE-06")
@given(messages=several, ages=st.lists(st.integers(0, 1000), min_size=6, max_size=6), cut=st.integers(0, 5))
def test_lists_in_the_order_of_arrival(
    testee: Testee, case: CaseContext, messages: list[bytes], ages: list[int], cut: int
) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    stored = [
        node.store(account, data, timestamp=node.now() - age * SECOND_MS)
        for data, age in zip(messages, ages, strict=False)
    ]
    assert node.hashes(account) == stored
    last = stored[cut % len(stored)]
    assert node.hashes(account, last_hash=last) == stored[stored.index(last) + 1 :]
    unknown = base64.b64encode(node.random.randbytes(32)).decode().rstrip("=")
    assert node.hashes(account, last_hash=unknown) == stored


@on_node("NODE-07")
@given(messages=several, count=st.integers(1, 7))
def test_counts_the_messages_of_a_page(
    testee: Testee, case: CaseContext, messages: list[bytes], count: int
) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    stored = [node.store(account, data) for data in messages]
    page = node.try_retrieve(account, max_count=count).ok()
    assert [message["hash"] for message in page["messages"]] == stored[:count]
    assert page["more"] is (count < len(stored))


@on_node("NODE-08")
def test_cuts_a_page_by_its_size(testee: Testee, case: CaseContext) -> None:
    """A message of 70000 bytes counts for 93476."""
    node = JudgedNode(testee, case)
    account = node.account()
    stored = [node.store(account, bytes([number]) * 70_000) for number in range(5)]
    for max_size, fitting in ((200_000, 2), (-20, 4), (1, 1), (500_000, 5)):
        page = node.try_retrieve(account, max_size=max_size).ok()
        found = [message["hash"] for message in page["messages"]]
        assert found == stored[:fitting], f"max_size {max_size} gave {len(found)} messages, not {fitting}"
        assert page["more"] is (fitting < 5)


@on_node("NODE-09", "NODE-10")
@given(data=bodies, change=st.integers(-3600, 3600))
def test_keeps_one_copy_of_a_message(testee: Testee, case: CaseContext, data: bytes, change: int) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    first = node.now()
    node.store(account, data, timestamp=first, expiry=first + DAY_MS)
    expiry = first + DAY_MS + change * SECOND_MS
    again = node.try_store(account, data, timestamp=first + 1, expiry=expiry).ok()
    for entry in node.entries(account, again).values():
        assert entry.get("already") is True, f"not marked as there already: {entry}"
        assert entry["expiry"] == max(expiry, first + DAY_MS)
    found = only(node.retrieve(account))
    assert (found["timestamp"], found["expiration"]) == (first, max(expiry, first + DAY_MS))


@on_node("NODE-11")
@given(
    namespace=st.sampled_from([0, 10, 2, -42]),
    short=st.integers(-100_000, 9_999),
    beyond=st.integers(1, 10 * DAY_MS),
)
def test_refuses_lives_out_of_range(
    testee: Testee, case: CaseContext, namespace: int, short: int, beyond: int
) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    longest = (14 if namespace % 10 == 0 else 30) * DAY_MS
    signed = namespace % 10 != 0

    def answer(life: int) -> int:
        timestamp = node.now()
        return node.try_store(
            account, b"x", signed=signed, namespace=namespace, timestamp=timestamp, expiry=timestamp + life
        ).status

    assert answer(short) == 403, f"a life of {short} ms was not refused with 403"
    assert answer(longest + beyond) == 403, f"a life of {longest + beyond} ms was not refused with 403"
    assert answer(10_000) == 200
    assert answer(longest) == 200


@on_node("NODE-12")
@given(ahead=st.integers(20, 10_000), late=st.integers(20, 10_000))
def test_refuses_messages_of_another_time(testee: Testee, case: CaseContext, ahead: int, late: int) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    node.try_store(account, b"x", timestamp=node.now() + ahead * SECOND_MS).expect(406)
    past = node.now() - late * SECOND_MS
    node.try_store(account, b"x", timestamp=past - DAY_MS, expiry=past).expect(406)
    node.try_store(account, b"x", timestamp=node.now() + 2 * SECOND_MS).expect(200)
    assert len(node.hashes(account)) == 1


@on_node("NODE-13")
def test_limits_the_size_of_a_message(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    largest = node.random.randbytes(76_800)
    node.try_store(account, largest + b"x").expect(400)
    assert node.hashes(account) == []
    node.store(account, largest)


@on_node("NODE-14")
@given(data=bodies, pair=st.lists(namespaces, min_size=2, max_size=2, unique=True))
def test_keeps_namespaces_apart(testee: Testee, case: CaseContext, data: bytes, pair: list[int]) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    stored = {namespace: node.store(account, data, namespace=namespace) for namespace in pair}
    for namespace, message in stored.items():
        assert node.hashes(account, namespace=namespace) == [message]


@on_node("NODE-15")
def test_keeps_the_newest_message_of_an_outbox(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    now = node.now()
    node.try_store(account, b"unsigned", namespace=-1).expect(401)
    for number in range(3):
        message = node.store(account, b"%d" % number, namespace=-1, timestamp=now + number)
        page = node.rpc("retrieve", {"pubkey": account.account_id, "namespace": -1}).ok()
        assert [each["hash"] for each in page["messages"]] == [message]


@on_node("NODE-16")
def test_serves_legacy_groups_without_signatures(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    message = node.store(account, b"to a group", namespace=-10)
    page = node.rpc("retrieve", {"pubkey": account.account_id, "namespace": -10}).ok()
    assert [each["hash"] for each in page["messages"]] == [message]


@on_node("NODE-17")
def test_replicates_what_it_was_given(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    stored = [node.store(account, b"%d" % number) for number in range(3)]
    for url, _key in node.other_members(account.account_id):
        assert [message["hash"] for message in node.retrieve(account, url=url)] == stored, url


@on_node("NODE-18")
def test_keeps_prefixes_apart(testee: Testee, case: CaseContext) -> None:
    """The swarm does not depend on the prefix, the mailbox does."""
    node = JudgedNode(testee, case)
    account = node.account()
    other = "04" + account.account_id[2:]
    own = node.store(account, b"the same")
    reply = node.rpc("store", node.store_params(other, b"the same")).ok()
    assert member(reply, "hash", str) != own
    assert node.hashes(account) == [own]


@on_node("NODE-19")
def test_takes_capital_hex_digits(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account: Account = node.account()
    message = node.store(account, b"x")
    reply = node.rpc("store", node.store_params(account.account_id.upper(), b"y")).ok()
    deleted = node.changed(account, "delete", {"messages": [message, reply["hash"]]})
    for key, entry in deleted.items():
        assert entry["deleted"] == sorted([message, reply["hash"]])
        assert_signed(key, entry, [account.account_id, message, reply["hash"], *entry["deleted"]])
