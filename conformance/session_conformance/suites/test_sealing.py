"""Judge the session protocol: sealing and opening of messages (client-protocol §2.1)."""

import nacl.bindings
from hypothesis import assume, given
from hypothesis import strategies as st

from session_conformance import strategies, vectors
from session_conformance.checks import check, reading, refused
from session_conformance.contract import Testee
from session_conformance.genuine import Genuine
from session_protocol import sealing
from session_protocol.accounts import Account


def seal_by_testee(testee: Testee, sender: Account, recipient: Account, message: bytes) -> bytes:
    sealed = testee.call(
        "session.encrypt",
        sender_seed=sender.entropy.hex(),
        recipient_session_id=recipient.account_id,
        message_hex=message.hex(),
    )
    return bytes.fromhex(sealed["ciphertext"])


def refuses_to_open(testee: Testee, recipient: Account, ciphertext: bytes, *codes: str) -> None:
    refused(
        testee,
        "session.decrypt",
        codes,
        recipient_seed=recipient.entropy.hex(),
        ciphertext=ciphertext.hex(),
    )


def opens(recipient: Account, ciphertext: bytes) -> sealing.Opened:
    """Open what the testee sealed."""
    with reading("the ciphertext"):
        return sealing.open_sealed(recipient, ciphertext)


@check("SEAL-01", ops=("session.decrypt",))
@given(
    sender=strategies.accounts,
    recipient=strategies.accounts,
    message=strategies.messages().filter(bool),
)
def test_opens_what_was_sealed_to_it(
    testee: Testee, genuine: Genuine, sender: Account, recipient: Account, message: bytes
) -> None:
    ciphertext = genuine.seal(sender, recipient.x25519_pk, message)
    opened = testee.call(
        "session.decrypt", recipient_seed=recipient.entropy.hex(), ciphertext=ciphertext.hex()
    )
    assert opened["message_hex"] == message.hex()
    assert opened["sender_session_id"] == sender.account_id


@check("SEAL-01", ops=("session.decrypt",))
def test_opens_the_published_ciphertexts(testee: Testee) -> None:
    for case in vectors.cases("sealing", "session.decrypt"):
        if case.result == "invalid":
            refused(testee, "session.decrypt", **case.input)
        elif case.output["message_hex"]:  # a message of no bytes is judged by itself
            opened = testee.call("session.decrypt", **case.input)
            assert opened["message_hex"] == case.output["message_hex"], case.id
            assert opened["sender_session_id"] == case.output["sender_session_id"], case.id


@check("SEAL-01", "SEAL-02", ops=("session.encrypt",))
@given(
    sender=strategies.accounts,
    recipient=strategies.accounts,
    message=strategies.messages(),
)
def test_seals_what_others_open(testee: Testee, sender: Account, recipient: Account, message: bytes) -> None:
    ciphertext = seal_by_testee(testee, sender, recipient, message)
    assert len(ciphertext) == len(message) + 144
    opened = opens(recipient, ciphertext)
    assert opened.message == message
    assert opened.sender_account_id == sender.account_id


@check("SEAL-11", ops=("session.encrypt",))
@given(sender=strategies.accounts, recipient=strategies.prefix_like_accounts)
def test_seals_to_keys_that_look_prefixed(testee: Testee, sender: Account, recipient: Account) -> None:
    """Only the first byte of an Account ID is a prefix; a key may begin with 05 as well."""
    ciphertext = seal_by_testee(testee, sender, recipient, b"to one of 256")
    assert opens(recipient, ciphertext).message == b"to one of 256"


@check("SEAL-11", ops=("session.decrypt",))
@given(sender=strategies.prefix_like_accounts, recipient=strategies.prefix_like_accounts)
def test_opens_with_keys_that_look_prefixed(
    testee: Testee, genuine: Genuine, sender: Account, recipient: Account
) -> None:
    ciphertext = genuine.seal(sender, recipient.x25519_pk, b"from one of 256")
    opened = testee.call(
        "session.decrypt", recipient_seed=recipient.entropy.hex(), ciphertext=ciphertext.hex()
    )
    assert opened["message_hex"] == b"from one of 256".hex()
    assert opened["sender_session_id"] == sender.account_id


@check("SEAL-02", ops=("session.encrypt", "session.decrypt"))
@given(
    sender=strategies.accounts,
    recipient=strategies.accounts,
    size=st.sampled_from([1, 159, 160, 10_000, 65_536]),
)
def test_opens_its_own_messages_of_every_size(
    testee: Testee, sender: Account, recipient: Account, size: int
) -> None:
    message = bytes(index * 31 % 251 for index in range(size))
    ciphertext = seal_by_testee(testee, sender, recipient, message)
    opened = testee.call(
        "session.decrypt", recipient_seed=recipient.entropy.hex(), ciphertext=ciphertext.hex()
    )
    assert opened["message_hex"] == message.hex()


@check("SEAL-03", ops=("session.decrypt",))
@given(
    sender=strategies.accounts,
    recipient=strategies.accounts,
    message=strategies.messages(100),
    data=st.data(),
)
def test_refuses_a_flipped_bit(
    testee: Testee, genuine: Genuine, sender: Account, recipient: Account, message: bytes, data: st.DataObject
) -> None:
    ciphertext = genuine.seal(sender, recipient.x25519_pk, message)
    bit = data.draw(st.integers(0, len(ciphertext) * 8 - 1), label="flipped bit")
    # X25519 ignores the highest bit of a public key, and the sealed box hashes it into the nonce: refused
    # all the same.
    refuses_to_open(testee, recipient, strategies.flip_bit(ciphertext, bit), "decrypt_failed")


@check("SEAL-03", "SEAL-04", ops=("session.decrypt",))
@given(
    sender=strategies.accounts,
    recipient=strategies.accounts,
    message=strategies.messages(100),
    data=st.data(),
)
def test_refuses_damaged_ciphertext(
    testee: Testee, genuine: Genuine, sender: Account, recipient: Account, message: bytes, data: st.DataObject
) -> None:
    ciphertext = genuine.seal(sender, recipient.x25519_pk, message)
    damaged = data.draw(strategies.damaged(ciphertext), label="damaged")
    refuses_to_open(testee, recipient, damaged, "decrypt_failed", "invalid_length")


@check("SEAL-04", ops=("session.decrypt",))
@given(recipient=strategies.accounts, inner=st.binary(max_size=95))
def test_refuses_a_sealed_box_too_short_for_a_signature(
    testee: Testee, genuine: Genuine, recipient: Account, inner: bytes
) -> None:
    refuses_to_open(testee, recipient, genuine.seal_box(inner, recipient.x25519_pk), "invalid_length")


@check("SEAL-04", ops=("session.decrypt",))
@given(recipient=strategies.accounts, noise=st.binary(max_size=300))
def test_refuses_noise(testee: Testee, recipient: Account, noise: bytes) -> None:
    refuses_to_open(testee, recipient, noise, "invalid_length", "decrypt_failed")


@check("SEAL-05", ops=("session.decrypt",))
@given(
    sender=strategies.accounts,
    recipient=strategies.accounts,
    other=strategies.accounts,
    message=strategies.messages(100),
)
def test_refuses_what_is_for_somebody_else(
    testee: Testee, genuine: Genuine, sender: Account, recipient: Account, other: Account, message: bytes
) -> None:
    assume(other.account_id != recipient.account_id)
    refuses_to_open(testee, other, genuine.seal(sender, recipient.x25519_pk, message), "decrypt_failed")


@check("SEAL-06", ops=("session.decrypt",))
@given(
    sender=strategies.accounts,
    recipient=strategies.accounts,
    message=strategies.messages(100).filter(bool),
    signature=st.binary(min_size=64, max_size=64),
)
def test_refuses_a_made_up_signature(
    testee: Testee, genuine: Genuine, sender: Account, recipient: Account, message: bytes, signature: bytes
) -> None:
    refuses_to_open(
        testee, recipient, genuine.seal_box(message + sender.ed25519_pk + signature, recipient.x25519_pk)
    )


@check("SEAL-06", ops=("session.decrypt",))
@given(
    sender=strategies.accounts,
    victim=strategies.accounts,
    recipient=strategies.accounts,
    message=strategies.messages(100).filter(bool),
)
def test_refuses_a_borrowed_name(
    testee: Testee, genuine: Genuine, sender: Account, victim: Account, recipient: Account, message: bytes
) -> None:
    """A signature of one account does not speak for the key of another one beside it."""
    assume(sender.account_id != victim.account_id)
    signature = nacl.bindings.crypto_sign(
        message + victim.ed25519_pk + recipient.x25519_pk, sender.ed25519_sk
    )[:64]
    refuses_to_open(
        testee, recipient, genuine.seal_box(message + victim.ed25519_pk + signature, recipient.x25519_pk)
    )


@check("SEAL-07", ops=("session.decrypt",))
@given(
    sender=strategies.accounts,
    first=strategies.accounts,
    second=strategies.accounts,
    message=strategies.messages(100).filter(bool),
)
def test_refuses_a_message_sealed_again(
    testee: Testee, genuine: Genuine, sender: Account, first: Account, second: Account, message: bytes
) -> None:
    """The first recipient cannot pass a message on as if it had been written to the second."""
    assume(first.account_id != second.account_id)
    sealed = genuine.seal(sender, first.x25519_pk, message)
    inner = nacl.bindings.crypto_box_seal_open(sealed, first.x25519_pk, first.x25519_sk)
    refuses_to_open(testee, second, genuine.seal_box(inner, second.x25519_pk), "bad_signature")


@check("SEAL-08", ops=("session.encrypt",))
@given(sender=strategies.accounts, recipient=strategies.accounts)
def test_never_shares_an_ephemeral_key(testee: Testee, sender: Account, recipient: Account) -> None:
    # Two equal messages may be equal ciphertexts (a deterministic form exists); two different ones may not.
    messages = [f"message {number}".encode() for number in range(4)]
    ephemeral = [seal_by_testee(testee, sender, recipient, message)[:32] for message in messages]
    assert len(set(ephemeral)) == len(ephemeral), "an ephemeral key was used twice"


@check("SEAL-09", ops=("session.decrypt",))
@given(recipient=strategies.accounts, key=st.sampled_from(strategies.SMALL_ORDER_KEYS))
def test_refuses_a_sender_of_small_order(
    testee: Testee, genuine: Genuine, recipient: Account, key: bytes
) -> None:
    # With A of small order and R = S = identity-like values, lax verifiers accept a signature of nobody.
    signature = strategies.SMALL_ORDER_KEYS[0] + bytes(32)
    refuses_to_open(
        testee, recipient, genuine.seal_box(b"signed by nobody" + key + signature, recipient.x25519_pk)
    )


@check("SEAL-10", ops=("session.decrypt",))
@given(sender=strategies.accounts, recipient=strategies.accounts)
def test_opens_a_message_of_no_bytes(
    testee: Testee, genuine: Genuine, sender: Account, recipient: Account
) -> None:
    ciphertext = genuine.seal(sender, recipient.x25519_pk, b"")
    opened = testee.call(
        "session.decrypt", recipient_seed=recipient.entropy.hex(), ciphertext=ciphertext.hex()
    )
    assert opened["message_hex"] == ""
