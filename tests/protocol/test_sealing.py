"""The session protocol: sealing, opening, and everything that must not open."""

import nacl.bindings
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from session_protocol import sealing
from session_protocol.accounts import Account
from session_protocol.errors import BadSignature, DecryptFailed, InvalidArgument, InvalidLength, ProtocolError
from session_protocol.primitives import STRICT, FastPrimitives, Primitives

deterministic = settings(derandomize=True, deadline=None)
accounts = st.binary(min_size=16, max_size=16).map(Account.from_seed)
messages = st.binary(max_size=300)
ALICE, BOB, CAROL = (Account.from_seed(bytes([number]) * 16) for number in (1, 2, 3))

# Encodings of points of order 1, 2, 4, 4, 8 and of the identity written with a number above the prime.
SMALL_ORDER_ED25519 = [
    bytes.fromhex(key)
    for key in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
]


def box(inner: bytes, recipient: Account = BOB) -> bytes:
    return nacl.bindings.crypto_box_seal(inner, recipient.x25519_pk)


def sign(signer: Account, message: bytes) -> bytes:
    return nacl.bindings.crypto_sign(message, signer.ed25519_sk)[:64]


@pytest.fixture(params=["strict", "fast"])
def primitives(request: pytest.FixtureRequest) -> Primitives:
    return STRICT if request.param == "strict" else FastPrimitives({})


@deterministic
@given(accounts, accounts, messages)
def test_sealed_messages_open(sender: Account, recipient: Account, message: bytes) -> None:
    ciphertext = sealing.seal(sender, recipient.x25519_pk, message)
    assert len(ciphertext) == len(message) + sealing.OVERHEAD == len(message) + 144
    opened = sealing.open_sealed(recipient, ciphertext)
    assert opened == sealing.Opened(message, sender.ed25519_pk, sender.account_id)


@deterministic
@given(accounts, accounts, messages)
def test_the_deterministic_form_repeats_and_opens(
    sender: Account, recipient: Account, message: bytes
) -> None:
    ciphertext = sealing.seal_deterministic(sender, recipient.x25519_pk, message)
    assert ciphertext == sealing.seal_deterministic(sender, recipient.x25519_pk, message)
    assert sealing.open_sealed(recipient, ciphertext).message == message
    assert ciphertext[:32] != sealing.seal_deterministic(sender, recipient.x25519_pk, message + b"!")[:32]


@pytest.mark.parametrize("size", [0, 1, 5_900, 6_000, 47_900, 48_000, 76_800])
def test_both_routes_make_and_open_the_same(size: int, primitives: Primitives) -> None:
    message = bytes(index * 31 % 251 for index in range(size))
    sealed = sealing.seal(ALICE, BOB.x25519_pk, message, ephemeral_seed=bytes(32), primitives=primitives)
    assert sealed == sealing.seal(ALICE, BOB.x25519_pk, message, ephemeral_seed=bytes(32))
    for _ in range(2):
        opened = sealing.open_sealed(BOB, sealed, primitives=primitives)
        assert opened == sealing.Opened(message, ALICE.ed25519_pk, ALICE.account_id)


@pytest.mark.parametrize("size", [5, 60_000])
def test_forgeries_do_not_open_on_either_route(size: int, primitives: Primitives) -> None:
    body = bytes(size) + ALICE.ed25519_pk
    with pytest.raises(BadSignature):
        sealing.open_sealed(BOB, box(body + sign(CAROL, body + BOB.x25519_pk)), primitives=primitives)
    with pytest.raises(BadSignature):
        sealing.open_sealed(BOB, box(body + sign(ALICE, body + CAROL.x25519_pk)), primitives=primitives)
    with pytest.raises(BadSignature):
        sealing.open_sealed(BOB, box(bytes(size) + b"\x02" + bytes(31) + bytes(64)), primitives=primitives)


def test_the_cache_of_senders_learns_only_from_valid_signatures() -> None:
    known: dict[bytes, str] = {}
    fast = FastPrimitives(known)
    body = b"forged" + ALICE.ed25519_pk
    with pytest.raises(BadSignature):
        sealing.open_sealed(BOB, box(body + sign(CAROL, body + BOB.x25519_pk)), primitives=fast)
    assert known == {}
    sealing.open_sealed(BOB, sealing.seal(ALICE, BOB.x25519_pk, b"genuine"), primitives=fast)
    assert known == {ALICE.ed25519_pk: ALICE.account_id}
    known[ALICE.ed25519_pk] = "remembered"
    again = sealing.open_sealed(BOB, sealing.seal(ALICE, BOB.x25519_pk, b"again"), primitives=fast)
    assert again.sender_account_id == "remembered"


@pytest.mark.parametrize("deterministic_form", [True, False])
def test_no_flipped_bit_opens(deterministic_form: bool) -> None:
    make = sealing.seal_deterministic if deterministic_form else sealing.seal
    genuine = make(ALICE, BOB.x25519_pk, b"genuine")
    for bit in range(len(genuine) * 8):
        changed = bytearray(genuine)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecryptFailed):
            sealing.open_sealed(BOB, bytes(changed))


def test_no_part_of_a_message_opens() -> None:
    genuine = sealing.seal(ALICE, BOB.x25519_pk, b"genuine")
    for size in range(len(genuine)):
        expected = InvalidLength if size < 144 else DecryptFailed
        with pytest.raises(expected):
            sealing.open_sealed(BOB, genuine[:size])
        if size:
            with pytest.raises((InvalidLength, DecryptFailed)):
                sealing.open_sealed(BOB, genuine[size:])
    with pytest.raises(DecryptFailed):
        sealing.open_sealed(BOB, genuine + b"\0")


@deterministic
@given(accounts, accounts, accounts, messages)
def test_only_the_recipient_opens(
    sender: Account, recipient: Account, other: Account, message: bytes
) -> None:
    assume(other.account_id != recipient.account_id)
    with pytest.raises(DecryptFailed):
        sealing.open_sealed(other, sealing.seal(sender, recipient.x25519_pk, message))


@deterministic
@given(messages)
def test_a_message_cannot_be_passed_on(message: bytes) -> None:
    genuine = sealing.seal(ALICE, BOB.x25519_pk, message)
    inner = nacl.bindings.crypto_box_seal_open(genuine, BOB.x25519_pk, BOB.x25519_sk)
    with pytest.raises(BadSignature):
        sealing.open_sealed(CAROL, box(inner, CAROL))


@deterministic
@given(messages, st.integers(0, 64 * 8 - 1))
def test_no_flipped_bit_of_the_signature_is_accepted(message: bytes, bit: int) -> None:
    body = message + ALICE.ed25519_pk
    signature = bytearray(sign(ALICE, body + BOB.x25519_pk))
    assert sealing.open_sealed(BOB, box(body + bytes(signature))).message == message
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadSignature):
        sealing.open_sealed(BOB, box(body + bytes(signature)))


@deterministic
@given(messages.filter(bool))
def test_the_sender_and_the_message_are_both_signed(message: bytes) -> None:
    signature = sign(ALICE, message + ALICE.ed25519_pk + BOB.x25519_pk)
    for body in (message + CAROL.ed25519_pk, message[:-1] + ALICE.ed25519_pk):
        with pytest.raises(BadSignature):
            sealing.open_sealed(BOB, box(body + signature))


@pytest.mark.parametrize("key", SMALL_ORDER_ED25519)
def test_keys_of_small_order_sign_for_nobody(key: bytes, primitives: Primitives) -> None:
    # R = A and s = 0 satisfy a lax verification equation for many messages.
    for r in (key, SMALL_ORDER_ED25519[0]):
        with pytest.raises(BadSignature):
            sealing.open_sealed(BOB, box(b"nobody" + key + r + bytes(32)), primitives=primitives)


def test_a_scalar_above_the_group_order_is_no_second_signature() -> None:
    body = b"malleable" + ALICE.ed25519_pk
    signature = sign(ALICE, body + BOB.x25519_pk)
    order = 2**252 + 27742317777372353535851937790883648493
    shifted = (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    with pytest.raises(BadSignature):
        sealing.open_sealed(BOB, box(body + signature[:32] + shifted))


@deterministic
@given(st.binary(max_size=400))
def test_noise_is_refused_in_the_family(noise: bytes) -> None:
    with pytest.raises(ProtocolError):
        sealing.open_sealed(BOB, noise)
    with pytest.raises((BadSignature, InvalidLength)):
        sealing.open_sealed(BOB, box(noise))


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_nobody_owns_a_recipient_key_of_small_order(key: bytes) -> None:
    for make in (sealing.seal, sealing.seal_deterministic):
        with pytest.raises(InvalidArgument):
            make(ALICE, key, b"for nobody")


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(InvalidLength):
        sealing.seal(ALICE, bytes(33), b"")
    with pytest.raises(InvalidLength):
        sealing.seal(ALICE, BOB.x25519_pk, b"", ephemeral_seed=bytes(31))


def test_an_ephemeral_seed_fixes_the_ephemeral_key() -> None:
    sealed = sealing.seal(ALICE, BOB.x25519_pk, b"x", ephemeral_seed=b"e" * 32)
    assert sealed[:32] == nacl.bindings.crypto_box_seed_keypair(b"e" * 32)[0]
    assert sealed == sealing.seal(ALICE, BOB.x25519_pk, b"x", ephemeral_seed=b"e" * 32)
    assert sealing.seal(ALICE, BOB.x25519_pk, b"x") != sealing.seal(ALICE, BOB.x25519_pk, b"x")
