"""Judge attachment encryption (client-protocol §3.1)."""

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from session_conformance import strategies, vectors
from session_conformance.checks import check, reading, refused
from session_conformance.contract import Testee
from session_conformance.genuine import Genuine
from session_protocol import attachments
from session_protocol.attachments import EncryptedAttachment

files = st.one_of(
    st.binary(max_size=700),
    st.sampled_from([540, 541, 542, 1_000, 4_096, 70_000]).map(
        lambda size: bytes(i * 7 % 256 for i in range(size))
    ),
)


def encrypt(testee: Testee, data: bytes) -> EncryptedAttachment:
    made = testee.call("attachment.encrypt_legacy", data_hex=data.hex())
    return EncryptedAttachment(
        blob=bytes.fromhex(made["blob_hex"]),
        key=bytes.fromhex(made["key64"]),
        digest=bytes.fromhex(made["digest_sha256"]),
        size=made["size"],
    )


def pointer(
    encrypted: EncryptedAttachment, *, blob: bytes | None = None, digest: bytes | None = None
) -> dict[str, Any]:
    return {
        "blob_hex": (encrypted.blob if blob is None else blob).hex(),
        "key64": encrypted.key.hex(),
        "digest": (encrypted.digest if digest is None else digest).hex(),
        "size": encrypted.size,
    }


@check("ATT-01", "ATT-02", ops=("attachment.encrypt_legacy",))
@given(data=files)
def test_encrypts_what_others_open(testee: Testee, data: bytes) -> None:
    made = encrypt(testee, data)
    assert made.size == len(data)
    with reading("the attachment"):
        opened = attachments.decrypt_legacy(made.blob, made.key, made.digest, made.size)
    assert opened == data


@check("ATT-01", "ATT-02", ops=("attachment.decrypt_legacy",))
@given(data=files, pad=st.booleans())
def test_opens_what_others_encrypted(testee: Testee, genuine: Genuine, data: bytes, pad: bool) -> None:
    made = genuine.encrypt_legacy(data, pad=pad)
    opened = testee.call("attachment.decrypt_legacy", **pointer(made))
    assert opened["data_hex"] == data.hex()


@check("ATT-01", ops=("attachment.decrypt_legacy",))
def test_opens_the_published_attachment(testee: Testee) -> None:
    for case in vectors.cases("attachments", "attachment.decrypt_legacy"):
        opened = testee.call("attachment.decrypt_legacy", **case.input)
        assert opened["data_hex"] == case.output["data_hex"], case.id


@check("ATT-03", ops=("attachment.decrypt_legacy",))
@given(data=st.binary(max_size=200), draws=st.data())
def test_refuses_a_changed_attachment(
    testee: Testee, genuine: Genuine, data: bytes, draws: st.DataObject
) -> None:
    """The digest is set right for the changed bytes, so that only the MAC can tell."""
    made = genuine.encrypt_legacy(data)
    broken = draws.draw(strategies.damaged(made.blob), label="damaged blob")
    refused(
        testee,
        "attachment.decrypt_legacy",
        ("bad_signature", "invalid_length"),  # damage may leave no whole blocks
        **pointer(made, blob=broken, digest=hashlib.sha256(broken).digest()),
    )


@check("ATT-03", ops=("attachment.decrypt_legacy",))
@given(data=st.binary(max_size=200), size=st.integers(0, 63))
def test_refuses_an_attachment_cut_short(testee: Testee, genuine: Genuine, data: bytes, size: int) -> None:
    made = genuine.encrypt_legacy(data)
    cut = made.blob[:size]
    refused(
        testee,
        "attachment.decrypt_legacy",
        ("invalid_length", "bad_signature"),  # more than 48 bytes may be long enough for a MAC that is wrong
        **pointer(made, blob=cut, digest=hashlib.sha256(cut).digest()),
    )


@check("ATT-04", ops=("attachment.decrypt_legacy",))
@given(data=st.binary(max_size=200), bit=st.integers(0, 255))
def test_refuses_another_digest(testee: Testee, genuine: Genuine, data: bytes, bit: int) -> None:
    made = genuine.encrypt_legacy(data)
    refused(
        testee,
        "attachment.decrypt_legacy",
        "bad_format",
        **pointer(made, digest=strategies.flip_bit(made.digest, bit)),
    )


@check("ATT-05", ops=("attachment.encrypt_legacy",))
@given(data=files)
def test_hides_the_exact_size(testee: Testee, data: bytes) -> None:
    assert len(encrypt(testee, data).blob) == blob_size(attachments.legacy_padded_size(len(data)))


@check("ATT-07", ops=("attachment.encrypt_legacy",), features={"attachment_pads": (True, False)})
@given(data=files)
def test_pads_as_declared(testee: Testee, data: bytes) -> None:
    pads = testee.hello.feature("attachment_pads")
    size = attachments.legacy_padded_size(len(data)) if pads else len(data)
    assert len(encrypt(testee, data).blob) == blob_size(size), f"the testee declares attachment_pads = {pads}"


def blob_size(plain: int) -> int:
    """Return the size of an encrypted file: IV, whole blocks with at least one byte of PKCS#7, MAC."""
    return 16 + (plain // 16 + 1) * 16 + 32


@check("ATT-06", ops=("attachment.encrypt_legacy",))
@given(data=st.binary(min_size=1, max_size=50))
def test_draws_a_key_for_each_attachment(testee: Testee, data: bytes) -> None:
    made = [encrypt(testee, data) for _ in range(3)]
    assert len({one.key for one in made}) == len(made), "a key was used twice"
    assert len({one.blob[:16] for one in made}) == len(made), "an IV was used twice"
