"""What a testee is not accused of: other legitimate policies, small networks, the errors of others."""

from typing import TYPE_CHECKING

import pytest

from session_conformance.verdicts import Reason, Verdict

if TYPE_CHECKING:
    from conftest import Judge

HEAD = """
from session_conformance.testees.kit_python.session_testee_kit import Rejected
from session_conformance.testees.reference.testee import ReferenceTestee
"""

WHOLE_SWARM = f"""{HEAD}
class Mine(ReferenceTestee):
    def client_create(self, params):
        created = super().client_create(params)
        self.resident(params).messaging._poller._members_per_round = 1_000
        return created
"""

ONE_MEMBER_A_ROUND = f"""{HEAD}
class Mine(ReferenceTestee):
    def client_create(self, params):
        created = super().client_create(params)
        resident = self.resident(params)
        resident.messaging._poller._members_per_round = 1
        react = resident.network._react

        async def give_the_round_up(account_id, node, failure):
            await react(account_id, node, failure)
            raise failure

        resident.network._react = give_the_round_up
        return created
"""

PUSHES = f"""{HEAD}
class Mine(ReferenceTestee):
    def client_poll(self, params):
        for message in super().client_poll(params)["messages"]:
            self.emit("message", message, params.account)
        return {{"messages": []}}
"""

ONION_ONLY = f"""{HEAD}
class Mine(ReferenceTestee):
    features = {{**ReferenceTestee.features, "network": "onion"}}
"""

REFUSES_TO_SEND = f"""{HEAD}
class Mine(ReferenceTestee):
    name = "silent"

    def client_send(self, params):
        raise Rejected("network_error", "out of order")
"""

ANOTHER_ACCOUNT = f"""{HEAD}
class Mine(ReferenceTestee):
    name = "stranger"

    def client_create(self, params):
        return {{**super().client_create(params), "session_id": "05" + "00" * 32}}
"""

TWELVE_WORDS = f"""{HEAD}
from session_conformance.broken.identity import TwelveWordsEnough

class Mine(TwelveWordsEnough):
    features = {{
        **ReferenceTestee.features,
        "mnemonic": {{**ReferenceTestee.features["mnemonic"], "word_counts": [12, 13]}},
    }}
"""

NO_TIMESTAMP_INSIDE = f"""{HEAD}
class Mine(ReferenceTestee):
    def message_parse_content(self, params):
        content = super().message_parse_content(params)["content"]
        return {{"content": {{name: value for name, value in content.items() if name != "timestamp_ms"}}}}

    def message_build_content(self, params):
        content = dict(params.mapping("content"))
        if content["kind"] != "typing":
            del content["timestamp_ms"]
        return super().message_build_content(params.changed(content=content))
"""

FILLS_SEEDS_UP = f"""{HEAD}
from session_conformance.broken.identity import SeedOfAnyLength as Mine
"""

TAKES_BARE_KEYS = f"""{HEAD}
class Mine(ReferenceTestee):
    def identity_validate(self, params):
        text = params.text("session_id")
        bare = len(text) in (32, 64) and all(digit in "0123456789abcdefABCDEF" for digit in text)
        return {{"valid": True}} if bare else super().identity_validate(params)
"""

COARSE = f"""{HEAD}
class Mine(ReferenceTestee):
    features = {{**ReferenceTestee.features, "error_detail": False}}

    def translate(self, error):
        translated = super().translate(error)
        return Rejected("internal", "no") if isinstance(translated, Rejected) else translated
"""

ONE_SECRET_ONLY = f"""{HEAD}
class Mine(ReferenceTestee):
    def client_create(self, params):
        if ("seed_hex" in params) == ("words" in params):
            raise Rejected("invalid_argument", "either a seed or words")
        return super().client_create(params)
"""

ONLY_RETRIEVES = f"""{HEAD}
class Mine(ReferenceTestee):
    limits = {{**ReferenceTestee.limits, "request_methods": ["retrieve"]}}
"""

SENDS_NOTHING = f"""{HEAD}
class Mine(ReferenceTestee):
    name = "reader"

    @property
    def operations(self):
        return [name for name in super().operations if name != "client.send"]
"""


@pytest.mark.parametrize("source", [WHOLE_SWARM, ONE_MEMBER_A_ROUND], ids=["whole swarm", "one a round"])
def test_a_client_may_poll_as_many_members_as_it_likes(judged: "Judge", source: str) -> None:
    found = judged(source, "swarms.receives*", "swarms.follows*polling")
    assert [record.verdict for record in found.values()] == [Verdict.PASSED] * 2


@pytest.mark.parametrize(
    ("source", "checks"),
    [
        (TWELVE_WORDS, ("mnemonic.refuses_too_few_words",)),
        (NO_TIMESTAMP_INSIDE, ("content.*",)),
        (TAKES_BARE_KEYS, ("identity.rejects_what_is_no_account_id",)),
        (COARSE, ("sealing.refuses*", "attachments.refuses*", "mnemonic.refuses*")),
        (ONE_SECRET_ONLY, ("messaging.joins*",)),
    ],
    ids=["twelve words", "no timestamp inside", "bare keys", "coarse codes", "one secret only"],
)
def test_what_is_allowed_is_not_failed(judged: "Judge", source: str, checks: tuple[str, ...]) -> None:
    found = judged(source, *checks, max_examples=100)
    assert found
    assert {record.verdict for record in found.values()} == {Verdict.PASSED}


def test_a_seed_that_is_filled_up_is_worth_a_warning(judged: "Judge") -> None:
    check = "identity.refuses_seeds_of_other_lengths"
    assert judged(FILLS_SEEDS_UP, check)[check].verdict is Verdict.WARNED


def test_a_client_that_builds_retrieves_only_is_judged_by_these(judged: "Judge") -> None:
    found = judged(ONLY_RETRIEVES, "storage_requests.builds*")
    assert {check.rpartition("_")[2]: record.verdict for check, record in found.items()} == {
        "retrieve": Verdict.PASSED,
        **dict.fromkeys(("store", "delete", "all", "expire", "expiries"), Verdict.UNSUPPORTED),
    }


def test_a_client_may_push_what_it_receives(judged: "Judge") -> None:
    found = judged(PUSHES, "messaging.understands_the_peer", "messaging.reports_a_message_once")
    assert [record.verdict for record in found.values()] == [Verdict.PASSED] * 2


@pytest.mark.parametrize(("nodes", "left_out"), [(1, 6), (3, 1), (4, 0)])
def test_on_a_small_network_what_is_possible_is_judged(judged: "Judge", nodes: int, left_out: int) -> None:
    found = judged("", "messaging.*", "swarms.*", testee="reference", nodes=nodes)
    prevented = [record for record in found.values() if record.verdict is Verdict.NOT_RUN]
    assert {record.verdict for record in found.values()} <= {Verdict.PASSED, Verdict.NOT_RUN}
    assert [
        (record.reason, "needs" in record.message or "takes" in record.message) for record in prevented
    ] == [(Reason.NODES, True)] * left_out


def test_a_client_that_needs_more_nodes_is_not_failed(judged: "Judge") -> None:
    found = judged(ONION_ONLY, "messaging.joins_the_network", nodes=3)["messaging.joins_the_network"]
    assert (found.verdict, found.reason) == (Verdict.NOT_RUN, Reason.NODES)
    assert found.message.endswith("needs 4 service nodes, the network has 3")


@pytest.mark.parametrize(
    ("source", "said"),
    [(REFUSES_TO_SEND, "out of order"), (ANOTHER_ACCOUNT, "restored another account")],
    ids=["refuses to send", "another account"],
)
def test_errors_of_the_peer_are_not_held_against_the_testee(judged: "Judge", source: str, said: str) -> None:
    check = "messaging.understands_the_peer"
    found = judged(source, check, testee="reference", peer="python:odd_testees:Mine")[check]
    assert (found.verdict, found.reason) == (Verdict.ERRORED, Reason.PEER)
    assert found.message.startswith("the peer ")
    assert said in found.message


def test_a_peer_that_cannot_play_its_part_leaves_the_check_out(judged: "Judge") -> None:
    check = "messaging.understands_the_peer"
    found = judged(SENDS_NOTHING, check, testee="reference", peer="python:odd_testees:Mine")[check]
    assert found.verdict is Verdict.UNSUPPORTED
    assert found.message == "the peer Mine does not declare client.send"
