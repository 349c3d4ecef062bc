"""Judge how a service node deletes messages and changes their expiries (storage-rpc §§10.3 to 10.8)."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from session_conformance.checks import check
from session_conformance.contract import Testee
from session_conformance.fixtures import CaseContext
from session_conformance.servers.node import DAY_MS, SECOND_MS, JudgedNode, assert_signed
from session_conformance.strategies import message_hashes
from session_protocol.accounts import Account

on_node = partial(check, features={"server": "storage"})
choices = st.lists(st.booleans(), min_size=4, max_size=4)


def four_messages(node: JudgedNode, account: Account) -> list[str]:
    """Store four messages that live for one, two, three and four days, the first being the oldest."""
    now = node.now()
    return [
        node.store(
            account,
            b"%d" % number,
            timestamp=now - (4 - number) * 1000,
            expiry=now + (number + 1) * DAY_MS,
        )
        for number in range(4)
    ]


@on_node("NODE-20", "NODE-21")
@given(chosen=choices, unknown=st.lists(message_hashes, max_size=2, unique=True), shuffle=st.randoms())
def test_deletes_messages(
    testee: Testee, case: CaseContext, chosen: list[bool], unknown: list[str], shuffle: object
) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    stored = four_messages(node, account)
    known = [message for message, wanted in zip(stored, chosen, strict=True) if wanted]
    asked = [*known, *(unknown or ["A" * 43])]
    shuffle.shuffle(asked)  # type: ignore[attr-defined]
    for key, entry in node.changed(account, "delete", {"messages": asked}).items():
        assert entry["deleted"] == sorted(known)
        assert_signed(key, entry, [account.account_id, *asked, *sorted(known)])
    assert node.hashes(account) == [message for message in stored if message not in known]


@on_node("NODE-22")
def test_says_when_nothing_was_deleted(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    message = node.store(account, b"x")
    wanted = {"messages": [message], "required": True}
    node.signed(account, "delete", wanted).expect(200)
    node.signed(account, "delete", wanted).expect(404)
    node.signed(account, "delete", {"messages": [message]}).expect(200)


@on_node("NODE-23")
def test_changes_nothing_of_another_account(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    alice, bob = node.account(), node.account()
    message = node.store(alice, b"of alice", expiry=node.now() + 2 * DAY_MS)
    before = node.retrieve(alice)
    for entry in node.changed(bob, "delete", {"messages": [message]}).values():
        assert entry["deleted"] == []
    changed = node.changed(bob, "expire", {"messages": [message], "expiry": node.now() + DAY_MS})
    for entry in changed.values():
        assert entry["updated"] == []
    found = node.signed(bob, "get_expiries", {"messages": [message], "timestamp": node.now()}).ok()
    assert found == {"expiries": {}}
    assert node.retrieve(alice) == before


@on_node("NODE-24")
def test_empties_one_namespace(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    first = [node.store(account, b"%d" % number) for number in range(3)]
    kept = node.store(account, b"kept", namespace=2)
    now = node.now()
    for key, entry in node.changed(account, "delete_all", {"timestamp": now}).items():
        assert entry["deleted"] == sorted(first)
        assert_signed(key, entry, [account.account_id, now, *sorted(first)])
    assert node.hashes(account) == []
    assert node.hashes(account, namespace=2) == [kept]


@on_node("NODE-25")
def test_empties_all_namespaces(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    stored = {
        number: [node.store(account, b"%d" % count, namespace=number) for count in range(2)]
        for number in (0, 2, -42)
    }
    now = node.now()
    everything = sorted(message for messages in stored.values() for message in messages)
    entries = node.changed(account, "delete_all", {"timestamp": now, "namespace": "all"})
    for key, entry in entries.items():
        assert entry["deleted"] == {str(number): sorted(found) for number, found in stored.items()}
        assert_signed(key, entry, [account.account_id, now, *everything])
    assert all(node.hashes(account, namespace=number) == [] for number in stored)


@on_node("NODE-26", "NODE-35")
@given(cut=st.integers(0, 4), off=st.sampled_from([0, -1]))
def test_deletes_what_is_old_enough(testee: Testee, case: CaseContext, cut: int, off: int) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    begin = node.now() - 100_000
    stored = [node.store(account, b"%d" % number, timestamp=begin + number * 10_000) for number in range(4)]
    before = begin + cut * 10_000 + off
    gone = [message for number, message in enumerate(stored) if begin + number * 10_000 <= before]
    for key, entry in node.changed(account, "delete_before", {"before": before}).items():
        assert entry["deleted"] == sorted(gone)
        assert_signed(key, entry, [account.account_id, before, *sorted(gone)])
    assert node.hashes(account) == stored[len(gone) :]
    node.signed(account, "delete_before", {"before": node.now() + 90_000}).expect(401)


@on_node("NODE-27", "NODE-28", "NODE-31")
@given(chosen=choices, days=st.integers(1, 60))
def test_sets_expiries(testee: Testee, case: CaseContext, chosen: list[bool], days: int) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    stored = four_messages(node, account)
    known = [message for message, wanted in zip(stored, chosen, strict=True) if wanted]
    asked = [*reversed(known), "A" * 43]
    wanted = node.now() + days * DAY_MS
    for key, entry in node.changed(account, "expire", {"messages": asked, "expiry": wanted}).items():
        assert entry["updated"] == sorted(known)
        if days < 30:
            assert entry["expiry"] == wanted
        else:
            assert abs(entry["expiry"] - node.now() - 30 * DAY_MS) < 30 * SECOND_MS, "not cut to 30 days"
        assert "unchanged" not in entry
        assert_signed(key, entry, [account.account_id, entry["expiry"], *asked, *sorted(known)])
    for message in node.retrieve(account):
        if message["hash"] in known:
            assert message["expiration"] <= node.now() + 30 * DAY_MS + SECOND_MS
            assert days >= 30 or message["expiration"] == wanted


@on_node("NODE-29", "NODE-31")
@given(
    hours=st.integers(1, 5 * 24).filter(lambda hours: hours % 24 != 0),
    mode=st.sampled_from(["shorten", "extend"]),
)
def test_only_shortens_or_extends(testee: Testee, case: CaseContext, hours: int, mode: str) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    stored = four_messages(node, account)
    # Never within one per cent of an expiry: whether so small a gain counts depends on the release.
    wanted = node.now() + hours * 3_600_000 + 1_900_000
    lives = {message["hash"]: message["expiration"] for message in node.retrieve(account)}
    updated = sorted(message for message, life in lives.items() if (life > wanted) == (mode == "shorten"))
    unchanged = {message: lives[message] for message in sorted(set(stored) - set(updated))}
    asked = {"messages": stored, "expiry": wanted, mode: True}
    for key, entry in node.changed(account, "expire", asked).items():
        assert entry["updated"] == updated
        assert entry["unchanged"] == unchanged
        rest = [part for pair in unchanged.items() for part in pair]
        assert_signed(key, entry, [account.account_id, wanted, *stored, *updated, *rest])
    expected = {message: wanted if message in updated else life for message, life in lives.items()}
    assert {message["hash"]: message["expiration"] for message in node.retrieve(account)} == expected


@on_node("NODE-30", "NODE-31")
@given(hours=st.lists(st.integers(1, 500), min_size=4, max_size=4))
def test_sets_an_expiry_for_each_message(testee: Testee, case: CaseContext, hours: list[int]) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    stored = four_messages(node, account)
    now = node.now()
    wanted = {message: now + each * 3_600_000 for message, each in zip(stored, hours, strict=True)}
    asked = {"messages": stored, "expiry": list(wanted.values())}
    for key, entry in node.changed(account, "expire", asked).items():
        assert entry["updated"] == sorted(stored)
        assert entry["expiry"] == [wanted[message] for message in sorted(stored)]
        assert_signed(key, entry, [account.account_id, *entry["expiry"], *stored, *entry["updated"]])
    found = node.signed(account, "get_expiries", {"messages": stored, "timestamp": node.now()}).ok()
    assert found == {"expiries": wanted}


@on_node("NODE-32")
@given(hours=st.integers(1, 100))
def test_shortens_all_lives(testee: Testee, case: CaseContext, hours: int) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    four_messages(node, account)
    lives = {message["hash"]: message["expiration"] for message in node.retrieve(account)}
    wanted = node.now() + hours * 3_600_000
    updated = sorted(message for message, life in lives.items() if life > wanted)
    for key, entry in node.changed(account, "expire_all", {"expiry": wanted}).items():
        assert entry["updated"] == updated
        assert_signed(key, entry, [account.account_id, wanted, *updated])
    for message in node.retrieve(account):
        assert message["expiration"] == min(lives[message["hash"]], wanted)


@on_node("NODE-33")
def test_tells_expiries(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    stored = four_messages(node, account)
    lives = {message["hash"]: message["expiration"] for message in node.retrieve(account)}
    asked = {"messages": [stored[2], "A" * 43, stored[0]], "timestamp": node.now()}
    found = node.signed(account, "get_expiries", asked).ok()
    assert found == {"expiries": {stored[2]: lives[stored[2]], stored[0]: lives[stored[0]]}}


@on_node("NODE-34")
@given(late=st.integers(70, 10_000))
def test_refuses_expiries_that_are_past(testee: Testee, case: CaseContext, late: int) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    message = node.store(account, b"x")
    past = node.now() - late * SECOND_MS
    node.signed(account, "expire", {"messages": [message], "expiry": past}).expect(401)
    node.signed(account, "expire_all", {"expiry": past}).expect(406)
    assert node.hashes(account) == [message]
