"""Judge how accounts are derived and Account IDs are recognised (client-protocol §1)."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session_conformance import strategies, vectors
from session_conformance.checks import check, refused
from session_conformance.contract import Testee
from session_protocol.accounts import Account

# For these y there is no x: x² = (y² - 1) / (d·y² + 1) is no square.
NO_POINTS = tuple(bytes([y]).ljust(32, b"\x00") for y in (2, 7, 8))


@check("ID-01", ops=("identity.derive",))
@given(entropy=strategies.entropies)
def test_derives_an_account_from_sixteen_bytes(testee: Testee, entropy: bytes) -> None:
    expected = Account.from_seed(entropy)
    derived = testee.call("identity.derive", seed_hex=entropy.hex())
    assert derived["session_id"] == expected.account_id
    assert derived["ed25519_pk"] == expected.ed25519_pk.hex()
    assert derived["x25519_pk"] == expected.x25519_pk.hex()


@check("ID-01", ops=("identity.derive",))
def test_derives_the_published_accounts(testee: Testee) -> None:
    for case in vectors.cases("identity", "identity.derive"):
        derived = testee.call("identity.derive", seed_hex=case.input["seed_hex"])
        # Optional fields (the secret halves) need not be there; what is there must be right.
        for field in ("session_id", "ed25519_pk", "x25519_pk"):
            assert derived[field] == case.output[field], f"{case.id}: {field}"
        for field in ("ed25519_sk64", "x25519_sk", "ed25519_seed"):
            assert derived.get(field, case.output.get(field)) == case.output.get(field), f"{case.id}: {field}"


@check("ID-02", ops=("identity.derive",))
@given(seed=st.binary(min_size=32, max_size=32))
def test_uses_a_whole_seed_unchanged(testee: Testee, seed: bytes) -> None:
    expected = Account.from_seed(seed)
    derived = testee.call("identity.derive", seed_hex=seed.hex())
    assert derived["session_id"] == expected.account_id
    assert derived["ed25519_pk"] == expected.ed25519_pk.hex()


@check("ID-03", ops=("identity.generate",))
def test_generates_fresh_accounts(testee: Testee) -> None:
    generated = [testee.call("identity.generate") for _ in range(5)]
    for account in generated:
        entropy = bytes.fromhex(account["seed_hex"])
        assert len(entropy) == 16, "current clients draw 16 random bytes"
        assert account["session_id"] == Account.from_seed(entropy).account_id
        assert account["words"] == Account.from_seed(entropy).recovery_password
    assert len({account["seed_hex"] for account in generated}) == len(generated), (
        "the same account came twice"
    )


@check("ID-04", ops=("identity.validate",))
@given(account=strategies.accounts, upper=st.booleans())
def test_accepts_account_ids(testee: Testee, account: Account, upper: bool) -> None:
    text = account.account_id.upper() if upper else account.account_id
    assert testee.call("identity.validate", session_id=text)["valid"] is True, f"{text} is an Account ID"


@check("ID-04", ops=("identity.validate",))
@given(text=strategies.not_account_ids())
@example(text="")
@example(text="05" + "a" * 63)
@example(text="05" + "a" * 65)
@example(text="05" + "a" * 63 + "g")
@example(text="06" + "a" * 64)
def test_rejects_what_is_no_account_id(testee: Testee, text: str) -> None:
    assert testee.call("identity.validate", session_id=text)["valid"] is False, f"{text!r} is no Account ID"


@check("ID-05", ops=("identity.derive",))
@given(seed=st.binary(max_size=70).filter(lambda seed: len(seed) not in (16, 32)))
def test_refuses_seeds_of_other_lengths(testee: Testee, seed: bytes) -> None:
    refused(testee, "identity.derive", seed_hex=seed.hex())


@check("ID-06", ops=("curve.ed_pk_to_x",))
@given(account=strategies.accounts)
def test_converts_ed25519_keys(testee: Testee, account: Account) -> None:
    converted = testee.call("curve.ed_pk_to_x", ed25519_pk=account.ed25519_pk.hex())
    assert converted["x25519_pk"] == account.x25519_pk.hex()


@check("ID-07", ops=("curve.ed_pk_to_x",))
@pytest.mark.parametrize("size", [0, 31, 33])
def test_refuses_a_key_of_another_length(testee: Testee, size: int) -> None:
    refused(testee, "curve.ed_pk_to_x", ed25519_pk=bytes([9]).hex() * size)


@check("ID-07", ops=("curve.ed_pk_to_x",))
def test_refuses_what_is_no_ed25519_key(testee: Testee) -> None:
    """Bytes that are no point of the curve, and points that nobody holds the key of."""
    for key in (*NO_POINTS, *strategies.SMALL_ORDER_KEYS):
        refused(testee, "curve.ed_pk_to_x", ed25519_pk=key.hex())
