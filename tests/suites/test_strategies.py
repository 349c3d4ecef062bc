"""The public strategies make what they promise."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_conformance import strategies
from session_protocol import content
from session_protocol.accounts import Account, id_kind

relaxed = settings(deadline=None, derandomize=True)


@relaxed
@given(text=strategies.not_account_ids())
def test_what_is_no_account_id_is_none(text: str) -> None:
    assert id_kind(text) is None


@relaxed
@given(genuine=st.binary(min_size=1, max_size=50), data=st.data())
def test_damage_changes_something(genuine: bytes, data: st.DataObject) -> None:
    assert data.draw(strategies.damaged(genuine)) != genuine


def test_there_is_nothing_to_damage_in_no_bytes() -> None:
    with pytest.raises(ValueError, match="nothing to damage"):
        strategies.damaged(b"")


@pytest.mark.parametrize("kind", strategies.CONTENT_KINDS)
def test_contents_survive_a_round_trip(kind: str) -> None:
    @relaxed
    @given(drawn=strategies.contents(kind))
    def survives(drawn: dict[str, Any]) -> None:
        assert content.parse_content(content.build_content(drawn))["kind"] == kind

    survives()


def test_an_unknown_kind_is_refused() -> None:
    @relaxed
    @given(drawn=strategies.contents("smoke-signal"))
    def refused(drawn: dict[str, Any]) -> None:
        raise AssertionError(drawn)

    with pytest.raises(ValueError, match="smoke-signal"):
        refused()


@relaxed
@given(ordinary=strategies.accounts, odd=strategies.prefix_like_accounts)
def test_keys_that_look_prefixed_are_kept_apart(ordinary: Account, odd: Account) -> None:
    assert ordinary.x25519_pk[0] != 5
    assert odd.x25519_pk[0] == 5
