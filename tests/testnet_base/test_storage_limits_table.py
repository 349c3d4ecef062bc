"""The table ``[storage]`` of a topology file."""

from pathlib import Path

import pytest

from session_testnet.services.storage import StorageSettings
from session_testnet.storage_limits import LIMITS, LimitError, StorageLimits
from session_testnet.topology import TopologyError, parse_topology


def test_what_is_given_changes_and_the_rest_stays() -> None:
    topology = parse_topology(
        {"nodes": 3, "storage": {"database_mib": 0.5, "max_jobs": 7, "purge_period_s": 2}}
    )
    limits = topology.storage
    assert (limits.database_bytes, limits.max_jobs, limits.purge_period_s) == (2**19, 7, 2.0)
    assert limits.peer_timeout_s == StorageLimits().peer_timeout_s
    settings = StorageSettings.of((2, 8, 0), limits)
    assert (settings.max_jobs, settings.version) == (7, (2, 8, 0))
    assert parse_topology({"nodes": 3}).storage == StorageLimits()


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [True, "5", -1, float("nan"), float("inf"), 1e12, None, []])
def test_what_cannot_be_is_refused(name: str, value: object) -> None:
    with pytest.raises(LimitError, match=f"the limit '{name}' cannot be ") as refused:
        StorageLimits.parse({name: value})
    assert refused.value.hint.startswith("takes a ")


def test_unknown_limits_are_refused_with_what_was_meant() -> None:
    with pytest.raises(TopologyError, match="storage: there is no limit 'max_job'") as refused:
        parse_topology({"storage": {"max_job": 5}})
    assert refused.value.hint == "did you mean 'max_jobs'?"
    with pytest.raises(TopologyError, match="storage: cannot be 5"):
        parse_topology({"storage": 5})


def test_all_limits_are_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "testnet.md").read_text(encoding="utf-8")
    table = page.partition("## Limits of the nodes")[2].partition("\n## ")[0]
    assert [name for name in LIMITS if f"`{name}`" not in table] == []
