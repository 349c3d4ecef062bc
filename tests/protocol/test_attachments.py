"""Attachments in both formats and profile pictures."""

import hashlib
import hmac
import random

import nacl.bindings as sodium
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from session_protocol import attachments
from session_protocol.errors import (
    BadFormat,
    BadPadding,
    BadSignature,
    DecryptFailed,
    InvalidArgument,
    InvalidLength,
    ProtocolError,
    TooLarge,
)

deterministic = settings(derandomize=True, deadline=None)
files = st.one_of(
    st.binary(max_size=700),
    st.sampled_from([540, 541, 542, 568, 569, 4_053, 4_054, 32_767, 32_768, 32_769, 70_000]).map(
        lambda size: random.Random(size).randbytes(size)
    ),
)
SEED = bytes(range(32))
KEY = bytes(range(64))


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# The old format.


@deterministic
@given(files, st.booleans())
def test_legacy_attachments_open(data: bytes, pad: bool) -> None:
    made = attachments.encrypt_legacy(data, pad=pad)
    assert attachments.decrypt_legacy(made.blob, made.key, made.digest, made.size) == data
    plain = attachments.legacy_padded_size(len(data)) if pad else len(data)
    assert len(made.blob) == 16 + (plain // 16 + 1) * 16 + 32
    assert made.digest == hashlib.sha256(made.blob).digest()


@deterministic
@given(st.integers(0, 12_000_000))
def test_legacy_padding_is_coarse_and_never_short(size: int) -> None:
    padded = attachments.legacy_padded_size(size)
    assert padded >= max(size, 541)
    assert padded <= max(541, size * 1.05)
    assert attachments.legacy_padded_size(padded) in (padded, attachments.legacy_padded_size(padded + 1))


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        (0, 541),
        (541, 541),
        (542, 568),
        (9_828_080, 9_828_080),
        (9_828_081, 10_000_000),
        (10_000_000, 10_000_000),
        (10_000_001, 10_319_484),
    ],
)
def test_legacy_padding_at_its_edges(size: int, padded: int) -> None:
    assert attachments.legacy_padded_size(size) == padded


def test_no_flipped_bit_of_a_legacy_attachment_opens() -> None:
    made = attachments.encrypt_legacy(b"genuine", pad=False)
    for bit in range(len(made.blob) * 8):
        damaged = flipped(made.blob, bit)
        with pytest.raises(BadSignature):
            attachments.decrypt_legacy(damaged, made.key, hashlib.sha256(damaged).digest(), made.size)
    for bit in range(256):
        with pytest.raises(BadFormat, match="digest"):
            attachments.decrypt_legacy(made.blob, made.key, flipped(made.digest, bit), made.size)
    for bit in range(256, 512):
        with pytest.raises(BadSignature):
            attachments.decrypt_legacy(made.blob, flipped(made.key, bit), made.digest, made.size)


def test_no_part_of_a_legacy_attachment_opens() -> None:
    made = attachments.encrypt_legacy(b"genuine", pad=False)
    for cut in (*(made.blob[:size] for size in range(len(made.blob))), made.blob + bytes(16), made.blob[16:]):
        with pytest.raises((InvalidLength, BadSignature)):
            attachments.decrypt_legacy(cut, made.key, hashlib.sha256(cut).digest(), made.size)


@pytest.mark.parametrize("size", [-1, 542, 2**32])
def test_a_size_beyond_the_data_is_refused(size: int) -> None:
    made = attachments.encrypt_legacy(b"data")
    with pytest.raises(BadFormat, match="promises"):
        attachments.decrypt_legacy(made.blob, made.key, made.digest, size)


@pytest.mark.parametrize("ending", [0, 17, 2])
def test_wrong_pkcs7_is_refused(ending: int) -> None:
    encryptor = Cipher(algorithms.AES(KEY[:32]), modes.CBC(bytes(16))).encryptor()
    body = bytes(16) + encryptor.update(bytes(15) + bytes([ending]))
    blob = body + hmac.digest(KEY[32:], body, "sha256")
    with pytest.raises(BadPadding):
        attachments.decrypt_legacy(blob, KEY, hashlib.sha256(blob).digest(), 0)


def test_legacy_randomness_is_drawn_or_given() -> None:
    made = [attachments.encrypt_legacy(b"data") for _ in range(3)]
    assert len({one.key for one in made}) == len({one.blob[:16] for one in made}) == 3
    first, second = (
        attachments.encrypt_legacy(b"data", random_bytes=random.Random(4).randbytes) for _ in range(2)
    )
    assert first == second
    fixed = attachments.encrypt_legacy(b"data", key=KEY, iv=bytes(16))
    assert (fixed.key, fixed.blob[:16]) == (KEY, bytes(16))
    assert KEY.hex() not in repr(fixed)
    assert repr(KEY) not in repr(fixed)


def test_legacy_arguments_of_wrong_length_are_refused() -> None:
    for wrong in ({"key": bytes(32)}, {"iv": bytes(12)}):
        with pytest.raises(InvalidLength):
            attachments.encrypt_legacy(b"data", **wrong)  # type: ignore[arg-type]
    made = attachments.encrypt_legacy(b"data")
    with pytest.raises(InvalidLength):
        attachments.decrypt_legacy(made.blob, made.key[:32], made.digest, made.size)
    with pytest.raises(InvalidLength):
        attachments.decrypt_legacy(made.blob, made.key, b"", made.size)
    with pytest.raises(InvalidArgument):
        attachments.legacy_padded_size(-1)


@deterministic
@given(st.binary(max_size=200))
def test_noise_is_no_legacy_attachment(noise: bytes) -> None:
    with pytest.raises((InvalidLength, BadSignature)):
        attachments.decrypt_legacy(noise, KEY, hashlib.sha256(noise).digest(), 0)


# The deterministic stream.


@settings(derandomize=True, deadline=None, max_examples=60)
@given(files, st.sampled_from(["attachment", "profile_pic"]), st.sampled_from([16, 32, 64]))
def test_streams_open(data: bytes, domain: str, seed_size: int) -> None:
    seed = bytes(range(seed_size))
    blob, key = attachments.encrypt_stream(seed, data, domain)
    assert attachments.decrypt_stream(blob, key) == data
    assert len(blob) == attachments.stream_blob_size(len(data))
    assert (blob, key) == attachments.encrypt_stream(seed, data, domain)


def test_every_account_domain_and_file_has_its_own_key() -> None:
    made = [
        attachments.encrypt_stream(SEED, b"data"),
        attachments.encrypt_stream(SEED, b"other"),
        attachments.encrypt_stream(SEED, b"data", "profile_pic"),
        attachments.encrypt_stream(bytes(32), b"data"),
    ]
    assert len({key for _, key in made}) == len({blob for blob, _ in made}) == len(made)
    # 16 bytes of entropy, the seed made of it and the secret key are the same account.
    seed = SEED[:16] + bytes(16)
    assert attachments.encrypt_stream(SEED[:16], b"data") == attachments.encrypt_stream(seed, b"data")
    assert attachments.encrypt_stream(seed + b"p" * 32, b"data") == attachments.encrypt_stream(seed, b"data")


@deterministic
@given(st.integers(0, attachments.STREAM_MAX_BYTES))
def test_stream_sizes_are_round_and_close(size: int) -> None:
    blob = attachments.stream_blob_size(size)
    step = max(4096, (1 << blob.bit_length() - 1) // 32)
    assert blob % 4096 == 0
    least = size + 26 + 17 * -(-(size + 1) // 32_768)
    assert least <= blob < least + step + 17


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(0, 300_000))
def test_streams_of_any_size_have_the_size_foretold(size: int) -> None:
    data = b"\0" * size
    blob, key = attachments.encrypt_stream(SEED, data)
    assert len(blob) == attachments.stream_blob_size(size)
    assert attachments.decrypt_stream(blob, key) == data


def test_the_limit_can_be_lifted() -> None:
    assert attachments.stream_blob_size(attachments.STREAM_MAX_BYTES) == 10_223_616
    with pytest.raises(TooLarge):
        attachments.stream_blob_size(attachments.STREAM_MAX_BYTES + 1)
    with pytest.raises(TooLarge):
        attachments.encrypt_stream(SEED, bytes(attachments.STREAM_MAX_BYTES + 1))
    assert attachments.stream_blob_size(25_000_000, allow_large=True) == 25_165_824


def test_no_flipped_bit_of_a_stream_opens() -> None:
    blob, key = attachments.encrypt_stream(SEED, b"genuine")
    for bit in range(8):
        with pytest.raises(BadFormat, match="letter S"):
            attachments.decrypt_stream(flipped(blob, bit), key)
    for bit in (
        *range(8, 40 * 8),
        *range(40 * 8, len(blob) * 8, 97),
        *range(len(blob) * 8 - 200, len(blob) * 8),
    ):
        with pytest.raises(DecryptFailed):
            attachments.decrypt_stream(flipped(blob, bit), key)
    for bit in range(256):
        with pytest.raises(DecryptFailed):
            attachments.decrypt_stream(blob, flipped(key, bit))


def test_no_part_of_a_stream_opens() -> None:
    blob, key = attachments.encrypt_stream(SEED, random.Random(1).randbytes(70_000))
    chunk, start = 32_785, 25
    assert len(blob) > start + 2 * chunk
    for size in (0, 1, 24, 25, 26, 41):
        with pytest.raises(InvalidLength):
            attachments.decrypt_stream(blob[:size], key)
    for size in (
        43,
        start + chunk,
        start + chunk + 5,
        start + 2 * chunk,
        start + 2 * chunk + 16,
        len(blob) - 1,
    ):
        with pytest.raises(DecryptFailed):
            attachments.decrypt_stream(blob[:size], key)
    first, second = blob[start : start + chunk], blob[start + chunk : start + 2 * chunk]
    rest = blob[start + 2 * chunk :]
    for spoiled in (
        second + first + rest,
        first + rest,
        first + first + second + rest,
        first + second + rest + rest,
    ):
        with pytest.raises(DecryptFailed):
            attachments.decrypt_stream(blob[:start] + spoiled, key)


@pytest.mark.parametrize("size", [7, 32_750 * 3])
def test_data_after_the_end_of_a_stream_is_refused(size: int) -> None:
    blob, key = attachments.encrypt_stream(SEED, bytes(size))
    for tail in (b"\0", bytes(16), bytes(17), bytes(40_000)):
        with pytest.raises(DecryptFailed):
            attachments.decrypt_stream(blob + tail, key)


def test_a_stream_that_goes_on_after_its_end_is_refused() -> None:
    """Only a writer with the key can do that: the chunks themselves are genuine."""
    key, header = bytes(32), bytes(24)
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    tag = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
    plain = b"\x01" + bytes(32_767)
    first, second = (
        sodium.crypto_secretstream_xchacha20poly1305_push(state, plain, tag=tag) for _ in range(2)
    )
    assert attachments.decrypt_stream(b"S" + header + first, key) == plain[1:]
    with pytest.raises(DecryptFailed, match="after its end"):
        attachments.decrypt_stream(b"S" + header + first + second, key)


@pytest.mark.parametrize("plain", [bytes(5), b"\0\0\x02data", b"data"])
def test_a_stream_without_the_end_of_its_padding_is_refused(plain: bytes) -> None:
    key, header = bytes(32), bytes(24)
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    tag = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
    sealed = sodium.crypto_secretstream_xchacha20poly1305_push(state, plain, tag=tag)
    with pytest.raises(BadPadding):
        attachments.decrypt_stream(b"S" + header + sealed, key)


def test_stream_arguments_are_checked() -> None:
    with pytest.raises(InvalidLength):
        attachments.encrypt_stream(bytes(31), b"")
    with pytest.raises(InvalidLength):
        attachments.decrypt_stream(bytes(100), bytes(64))
    with pytest.raises(InvalidArgument, match="attachment, profile_pic"):
        attachments.encrypt_stream(SEED, b"", "sticker")
    with pytest.raises(InvalidArgument):
        attachments.stream_blob_size(-1)


@deterministic
@given(st.binary(max_size=200))
def test_noise_is_no_stream(noise: bytes) -> None:
    for blob in (noise, b"S" + noise):
        with pytest.raises(ProtocolError):
            attachments.decrypt_stream(blob, bytes(32))


# Profile pictures.


@deterministic
@given(st.binary(max_size=300), st.binary(min_size=32, max_size=32))
def test_pictures_open(data: bytes, key: bytes) -> None:
    blob = attachments.encrypt_profile_picture(data, key)
    assert len(blob) == len(data) + 28
    assert attachments.decrypt_profile_picture(blob, key) == data


def test_no_changed_picture_opens() -> None:
    key = bytes(range(32))
    blob = attachments.encrypt_profile_picture(b"genuine", key, iv=bytes(12))
    assert blob[:12] == bytes(12)
    for bit in range(len(blob) * 8):
        with pytest.raises(DecryptFailed):
            attachments.decrypt_profile_picture(flipped(blob, bit), key)
    for size in range(len(blob)):
        with pytest.raises((InvalidLength, DecryptFailed)):
            attachments.decrypt_profile_picture(blob[:size], key)
    for bit in range(256):
        with pytest.raises(DecryptFailed):
            attachments.decrypt_profile_picture(blob, flipped(key, bit))


def test_picture_arguments_are_checked() -> None:
    for wrong in (
        lambda: attachments.encrypt_profile_picture(b"", bytes(16)),
        lambda: attachments.decrypt_profile_picture(bytes(40), bytes(31)),
        lambda: attachments.encrypt_profile_picture(b"", bytes(32), iv=bytes(16)),
    ):
        with pytest.raises(InvalidLength):
            wrong()
    first, second = (
        attachments.encrypt_profile_picture(b"d", bytes(32), random_bytes=random.Random(9).randbytes)
        for _ in range(2)
    )
    assert first == second != attachments.encrypt_profile_picture(b"d", bytes(32))
