"""Accounts: derivation, ids, key conversion."""

from contextlib import suppress

import nacl.bindings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_protocol import mnemonic
from session_protocol.accounts import (
    FIELD_PRIME,
    Account,
    IdKind,
    account_bytes,
    account_id_from_ed25519,
    account_id_from_x25519,
    ed25519_pk_to_x25519,
    id_kind,
    parse_account_id,
    x25519_pk_to_ed25519,
)
from session_protocol.errors import InvalidArgument, InvalidId, InvalidLength

deterministic = settings(derandomize=True, deadline=None)
seeds = st.one_of(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
accounts = seeds.map(Account.from_seed)
KEY = "aa" * 32


@deterministic
@given(seeds)
def test_keys_belong_together(seed: bytes) -> None:
    account = Account.from_seed(seed)
    assert account.entropy == seed
    assert account.ed25519_seed == seed.ljust(32, b"\0")
    assert account.ed25519_sk == account.ed25519_seed + account.ed25519_pk
    assert nacl.bindings.crypto_scalarmult_base(account.x25519_sk) == account.x25519_pk
    assert account.account_id == "05" + account.x25519_pk.hex() == account_id_from_ed25519(account.ed25519_pk)
    assert parse_account_id(account.account_id) == account.x25519_pk


@deterministic
@given(st.binary(max_size=80).filter(lambda seed: len(seed) not in (16, 32)))
def test_seeds_of_other_lengths_are_refused(seed: bytes) -> None:
    with pytest.raises(InvalidLength):
        Account.from_seed(seed)


@deterministic
@given(seeds)
def test_the_recovery_password_restores_the_account(seed: bytes) -> None:
    account = Account.from_seed(seed)
    assert Account.from_recovery_password(account.recovery_password) == account


def test_a_recovery_password_of_64_bytes_is_no_account() -> None:
    with pytest.raises(InvalidLength):
        Account.from_recovery_password(mnemonic.encode(bytes(64)))


def test_generate_asks_for_sixteen_bytes() -> None:
    asked: list[int] = []

    def random_bytes(size: int) -> bytes:
        asked.append(size)
        return bytes(range(size))

    assert Account.generate(random_bytes) == Account.from_seed(bytes(range(16)))
    assert asked == [16]
    assert Account.generate() != Account.generate()


def test_repr_shows_no_secret() -> None:
    account = Account.from_seed(bytes(range(16)))
    shown = repr(account)
    assert account.account_id in shown
    for secret in (account.entropy, account.ed25519_sk, account.x25519_sk):
        assert repr(secret) not in shown
        assert secret.hex() not in shown
    with pytest.raises(AttributeError):
        account.entropy = b""  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("05" + KEY, IdKind.STANDARD),
        ("05" + KEY.upper(), IdKind.STANDARD),
        ("03" + KEY, IdKind.GROUP),
        ("15" + KEY, IdKind.BLINDED15),
        ("25" + KEY, IdKind.BLINDED25),
        ("00" + KEY, None),
        ("07" + KEY, None),
        (KEY, None),
        ("05" + KEY + "0", None),
        ("05" + KEY[:-1], None),
        ("05" + KEY[:-1] + "g", None),
        ("05" + KEY[:-2] + " a", None),
        ("05" + KEY[:-2] + "  ", None),
        ("05 " + KEY[:-2] + " ", None),
        ("05" + KEY[:-3] + "a a", None),
        ("0x" + KEY, None),
        ("05" + KEY[:-1] + "\u0661", None),  # a digit, but not one of ours
        ("05" + KEY[:-1] + "\uff21", None),  # full-width A
        ("", None),
    ],
)
def test_kinds_of_ids(text: str, kind: IdKind | None) -> None:
    assert id_kind(text) is kind


@deterministic
@given(st.text(max_size=70))
def test_any_text_is_an_id_or_refused(text: str) -> None:
    try:
        raw = account_bytes(text)
    except InvalidId:
        assert id_kind(text) is None
    else:
        assert raw.hex() == text.lower()


def test_only_account_ids_hold_a_key_to_write_to() -> None:
    with pytest.raises(InvalidId, match="begins with 05"):
        parse_account_id("03" + KEY)


@deterministic
@given(st.binary(min_size=32, max_size=32))
def test_twins_convert_back(key: bytes) -> None:
    try:
        twin = x25519_pk_to_ed25519(key)
    except InvalidArgument:
        return
    assert twin[31] & 0x80 == 0
    u = int.from_bytes(key, "little") % 2**255 % FIELD_PRIME
    try:
        back = ed25519_pk_to_x25519(twin)
    except InvalidArgument:
        return  # not every number is the key of somebody
    assert int.from_bytes(back, "little") == u


@deterministic
@given(accounts)
def test_the_twin_is_the_key_up_to_its_sign(account: Account) -> None:
    unsigned = account.ed25519_pk[:31] + bytes([account.ed25519_pk[31] & 0x7F])
    assert x25519_pk_to_ed25519(account.x25519_pk) == unsigned
    assert ed25519_pk_to_x25519(account.ed25519_pk) == account.x25519_pk


@pytest.mark.parametrize(
    "key",
    [
        bytes(32),
        b"\x01" + bytes(31),
        b"\xec" + b"\xff" * 30 + b"\x7f",
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        b"\x02" + bytes(31),
    ],
    ids=["zero", "identity", "order-2", "order-8", "not-on-the-curve"],
)
def test_what_is_no_ed25519_key_is_refused(key: bytes) -> None:
    with pytest.raises(InvalidArgument):
        ed25519_pk_to_x25519(key)


def test_keys_without_a_twin_and_of_wrong_length_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        x25519_pk_to_ed25519((FIELD_PRIME - 1).to_bytes(32, "little"))
    for convert in (
        x25519_pk_to_ed25519,
        ed25519_pk_to_x25519,
        account_id_from_x25519,
        account_id_from_ed25519,
    ):
        with pytest.raises(InvalidLength):
            convert(bytes(31))


@deterministic
@given(st.binary(max_size=40))
def test_any_bytes_convert_or_are_refused(key: bytes) -> None:
    for convert in (x25519_pk_to_ed25519, ed25519_pk_to_x25519):
        with suppress(InvalidLength if len(key) != 32 else InvalidArgument):
            assert len(convert(key)) == 32 == len(key)
