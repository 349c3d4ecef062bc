"""What a testee is not accused of: other legitimate policies, small networks, the errors of others."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from session_conformance.verdicts import Reason, Verdict

if TYPE_CHECKING:
    from conftest import Judge, Run

HEAD = """
from session_conformance.testees.kit_python.session_testee_kit import Rejected
from session_conformance.testees.reference.testee import ReferenceTestee
"""

LEGITIMATE = f"""{HEAD}
from session_conformance.broken.identity import TwelveWordsEnough
from session_conformance.broken.identity import SeedOfAnyLength as FillsSeedsUp

class TwelveWords(TwelveWordsEnough):
    features = {{
        **ReferenceTestee.features,
        "mnemonic": {{**ReferenceTestee.features["mnemonic"], "word_counts": [12, 13]}},
    }}

class NoTimestampInside(ReferenceTestee):
    def message_parse_content(self, params):
        content = super().message_parse_content(params)["content"]
        return {{"content": {{name: value for name, value in content.items() if name != "timestamp_ms"}}}}

    def message_build_content(self, params):
        content = dict(params.mapping("content"))
        if content["kind"] != "typing":
            del content["timestamp_ms"]
        return super().message_build_content(params.changed(content=content))

class TakesBareKeys(ReferenceTestee):
    def identity_validate(self, params):
        text = params.text("session_id")
        bare = len(text) in (32, 64) and all(digit in "0123456789abcdefABCDEF" for digit in text)
        return {{"valid": True}} if bare else super().identity_validate(params)

class Coarse(ReferenceTestee):
    features = {{**ReferenceTestee.features, "error_detail": False}}

    def translate(self, error):
        translated = super().translate(error)
        return Rejected("internal", "no") if isinstance(translated, Rejected) else translated

class OneSecretOnly(ReferenceTestee):
    def client_create(self, params):
        if ("seed_hex" in params) == ("words" in params):
            raise Rejected("invalid_argument", "either a seed or words")
        return super().client_create(params)

class OnlyRetrieves(ReferenceTestee):
    limits = {{**ReferenceTestee.limits, "request_methods": ["retrieve"]}}

class WholeSwarm(ReferenceTestee):
    def client_create(self, params):
        created = super().client_create(params)
        self.resident(params).messaging._poller._members_per_round = 1_000
        return created

class OneMemberARound(ReferenceTestee):
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

class Pushes(ReferenceTestee):
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

SENDS_NOTHING = f"""{HEAD}
class Mine(ReferenceTestee):
    name = "reader"

    @property
    def operations(self):
        return [name for name in super().operations if name != "client.send"]
"""


PASSED = Verdict.PASSED

# What each of these clients is judged by, and how that ends.
EXPECTED: dict[str, dict[str, Verdict]] = {
    "WholeSwarm": {
        "swarms.receives_past_a_dead_member": PASSED,
        "swarms.follows_a_swarm_change_when_polling": PASSED,
    },
    "OneMemberARound": {
        "swarms.receives_past_a_dead_member": PASSED,
        "swarms.follows_a_swarm_change_when_polling": PASSED,
    },
    "Pushes": {"messaging.understands_the_peer": PASSED, "messaging.reports_a_message_once": PASSED},
    "OneSecretOnly": {
        "messaging.joins_the_network": PASSED,
        "messaging.joins_with_a_recovery_password": PASSED,
    },
    "TwelveWords": {"mnemonic.refuses_too_few_words": PASSED},
    "NoTimestampInside": {
        "content.reads_every_kind": PASSED,
        "content.reads_the_published_contents": PASSED,
        "content.writes_every_kind": PASSED,
        "content.ignores_unknown_fields": PASSED,
    },
    "TakesBareKeys": {"identity.rejects_what_is_no_account_id": PASSED},
    "Coarse": {
        "mnemonic.refuses_too_few_words": PASSED,
        "sealing.refuses_a_made_up_signature": PASSED,
        "attachments.refuses_another_digest": PASSED,
    },
    "FillsSeedsUp": {"identity.refuses_seeds_of_other_lengths": Verdict.WARNED},
    "OnlyRetrieves": {
        "storage_requests.builds_a_signed_retrieve": PASSED,
        "storage_requests.builds_a_signed_store": Verdict.UNSUPPORTED,
        "storage_requests.builds_a_signed_get_expiries": Verdict.UNSUPPORTED,
    },
}


@pytest.fixture(scope="module")
def verdicts(
    tmp_path_factory: pytest.TempPathFactory, run_suites: "Run"
) -> Mapping[tuple[str, str], Verdict]:
    """Judge all of them in one run."""
    results = run_suites(
        tmp_path_factory.mktemp("fair"),
        LEGITIMATE,
        tuple(f"python:odd_testees:{name}" for name in EXPECTED),
        filters=tuple({check: None for checks in EXPECTED.values() for check in checks}),
        max_examples=30,
    )
    return {(record.testee, record.check): record.verdict for record in results.records}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_a_client_may_do_is_not_failed(name: str, verdicts: Mapping[tuple[str, str], Verdict]) -> None:
    assert {check: verdicts[name, check] for check in EXPECTED[name]} == EXPECTED[name]


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
