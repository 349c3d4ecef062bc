"""Judge how a service node carries out several requests at once (storage-rpc §11)."""

from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from session_conformance.checks import check
from session_conformance.contract import Testee
from session_conformance.fixtures import CaseContext
from session_conformance.servers.node import JudgedNode
from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request

on_node = partial(check, features={"server": "storage"})
kinds = st.lists(st.sampled_from(["info", "store", "refused", "retrieve"]), min_size=1, max_size=20)
STATUS = {"info": 200, "store": 200, "refused": 401, "retrieve": 200}


def requests_of(node: JudgedNode, account: Account, chosen: list[str]) -> list[dict[str, Any]]:
    """Return one request of each kind; ``refused`` is a store that lacks its signature."""
    made = []
    for number, kind in enumerate(chosen):
        data = b"%d" % number
        match kind:
            case "store":
                made.append({"method": "store", "params": node.store_params(account.account_id, data)})
            case "refused":
                params = node.store_params(account.account_id, data, namespace=2)
                made.append({"method": "store", "params": params})
            case "retrieve":
                params = sign_request(account, "retrieve", {"timestamp": node.now()})
                made.append({"method": "retrieve", "params": params})
            case _:
                made.append({"method": "info", "params": {}})
    return made


@on_node("NODE-60")
@given(chosen=kinds)
def test_answers_every_request_of_a_batch(testee: Testee, case: CaseContext, chosen: list[str]) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    results = node.rpc("batch", {"requests": requests_of(node, account, chosen)}).ok()["results"]
    assert [result["code"] for result in results] == [STATUS[kind] for kind in chosen]
    for kind, result in zip(chosen, results, strict=True):
        wanted = {"info": "version", "store": "hash", "retrieve": "messages"}.get(kind)
        if wanted is None:
            assert isinstance(result["body"], str), f"an error is a text, not {result['body']!r}"
        else:
            assert wanted in result["body"], f"the answer of {kind} is {result['body']!r}"


@on_node("NODE-61")
@given(chosen=kinds)
def test_ends_a_sequence_at_the_first_failure(testee: Testee, case: CaseContext, chosen: list[str]) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    results = node.rpc("sequence", {"requests": requests_of(node, account, chosen)}).ok()["results"]
    done = chosen[: chosen.index("refused") + 1] if "refused" in chosen else chosen
    assert [result["code"] for result in results] == [STATUS[kind] for kind in done]
    stored = 0
    for kind, result in zip(done, results, strict=True):
        stored += kind == "store"
        if kind == "retrieve":
            assert len(result["body"]["messages"]) == stored, "a request began before the last had ended"
    assert len(node.hashes(account)) == done.count("store")


@on_node("NODE-62")
def test_limits_the_requests_of_a_batch(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    for method in ("batch", "sequence"):
        full = [{"method": "info", "params": {}}] * 20
        assert len(node.rpc(method, {"requests": full}).ok()["results"]) == 20
        node.rpc(method, {"requests": [*full, full[0]]}).expect(400)
        node.rpc(method, {"requests": []}).expect(400)
        node.rpc(method, {}).expect(400)


@on_node("NODE-63")
def test_refuses_batches_within_batches(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    inner = {"requests": [{"method": "info", "params": {}}]}
    for method in ("batch", "sequence"):
        for within in ("batch", "sequence"):
            node.rpc(method, {"requests": [{"method": within, "params": inner}]}).expect(400)


@on_node("NODE-64")
def test_does_nothing_of_a_batch_that_it_cannot_read(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    good = requests_of(node, account, ["store"])
    for bad in ({"method": "store", "params": {}}, {"method": "nonsense", "params": {}}, {"method": "info"}):
        node.rpc("batch", {"requests": [*good, bad]}).expect(400)
    assert node.hashes(account) == []


@on_node("NODE-65")
def test_chooses_a_branch(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    info = {"method": "info", "params": {}}
    swarm = {"method": "get_swarm", "params": {"pubkey": node.new_account().account_id}}
    for condition, holds in (
        ({"hf_at_least": [18]}, True),
        ({"hf_before": [18]}, False),
        ({"height_at_least": 1, "hf_at_least": [18]}, True),
        ({"height_at_least": 1, "hf_before": [18]}, False),
    ):
        answer = node.rpc("ifelse", {"if": condition, "then": info, "else": swarm}).ok()
        assert answer["condition"] is holds, f"{condition} was said to be {answer['condition']}"
        assert ("version" if holds else "snodes") in answer["result"]["body"]
        only = node.rpc("ifelse", {"if": condition, "then": info}).ok()
        assert ("result" in only) is holds
    node.rpc("ifelse", {"if": {"hf_at_least": [18]}}).expect(400)
