"""Offer hypothesis strategies for everything that Session puts on the wire.

They are public: a client's own tests may use them. All bytes are made from genuine artefacts or plain
randomness below; nothing here needs a network.
"""

import base64
import string
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from session_protocol.accounts import Account

# The network started in 2020; timestamps later than 2100 are nobody's clock.
MIN_TIMESTAMP_MS = 1_577_836_800_000
MAX_TIMESTAMP_MS = 4_102_444_800_000

ACCOUNT_PREFIX = 0x05
# The first 16-byte numbers whose accounts have a key that begins with 05.
PREFIX_LIKE_NUMBERS = (517, 574, 676, 1396)

entropies = st.binary(min_size=16, max_size=16)
"""The 16 random bytes behind an account (client-protocol §1.1)."""

seeds = st.one_of(entropies, st.binary(min_size=32, max_size=32))
"""What an account may be derived from: 16 bytes, or a whole 32-byte Ed25519 seed."""


def is_ordinary(account: Account) -> bool:
    """Tell whether nothing about the account's key looks like a prefix: 255 of 256 accounts.

    A client that strips the prefix 05 twice fails only for keys that begin with 05. A check of its own judges
    that; kept out of all others, it cannot make them fail by chance.
    """
    return account.x25519_pk[0] != ACCOUNT_PREFIX


accounts: st.SearchStrategy[Account] = entropies.map(Account.from_seed).filter(is_ordinary)
"""Accounts with all their keys."""

prefix_like_accounts: st.SearchStrategy[Account] = st.sampled_from(PREFIX_LIKE_NUMBERS).map(
    lambda number: Account.from_seed(number.to_bytes(16, "big"))
)
"""Accounts whose X25519 key begins with 05, as if it were the prefix of an Account ID."""

# Encodings of points of small order on Curve25519's twisted Edwards form: keys that vouch for nobody.
SMALL_ORDER_KEYS = tuple(
    bytes.fromhex(key)
    for key in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
    )
)

account_ids: st.SearchStrategy[str] = accounts.map(lambda account: account.account_id)
"""Account IDs that somebody holds the keys of."""

timestamps_ms = st.integers(MIN_TIMESTAMP_MS, MAX_TIMESTAMP_MS)
"""Plausible message timestamps, in milliseconds."""

message_hashes: st.SearchStrategy[str] = st.binary(min_size=32, max_size=32).map(
    lambda raw: base64.b64encode(raw).decode().rstrip("=")
)
"""Hashes of messages as service nodes write them."""

emoji = st.sampled_from(["👍", "❤️", "😂", "😢", "👀", "🏳️‍🌈", "👩🏽‍🚀"])
"""Reactions, from one code point to a joined sequence."""

# Text that a person may type: no lone surrogates (they have no UTF-8 form), no NUL (C strings end there).
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=200)
"""Message bodies: any script, directional marks, combining characters and emoji included."""


def messages(max_size: int = 400) -> st.SearchStrategy[bytes]:
    """Make message bytes around the padding steps of 160 bytes, and anywhere between."""
    near_a_step = st.integers(0, max_size // 160).flatmap(
        lambda step: st.integers(max(0, step * 160 - 3), min(max_size, step * 160 + 3)).flatmap(
            lambda size: st.binary(min_size=size, max_size=size)
        )
    )
    return st.one_of(st.binary(max_size=max_size), near_a_step)


def damaged(genuine: bytes) -> st.SearchStrategy[bytes]:
    """Damage genuine bytes: flip one bit, cut an end, add bytes, or exchange a run."""
    if not genuine:
        raise ValueError("there is nothing to damage in no bytes")
    flipped = st.integers(0, len(genuine) * 8 - 1).map(lambda bit: flip_bit(genuine, bit))
    cut = st.integers(0, len(genuine) - 1).map(lambda size: genuine[:size])
    beheaded = st.integers(1, len(genuine)).map(lambda size: genuine[size:])
    extended = st.binary(min_size=1, max_size=40).map(lambda tail: genuine + tail)
    exchanged = st.tuples(st.integers(0, len(genuine) - 1), st.binary(min_size=1, max_size=32)).map(
        lambda run: genuine[: run[0]] + run[1] + genuine[run[0] + len(run[1]) :]
    )
    return st.one_of(flipped, cut, beheaded, extended, exchanged).filter(lambda result: result != genuine)


def flip_bit(genuine: bytes, bit: int) -> bytes:
    """Return ``genuine`` with bit number ``bit`` (0 = lowest of the first byte) inverted."""
    flipped = bytearray(genuine)
    flipped[bit // 8] ^= 1 << (bit % 8)
    return bytes(flipped)


def not_account_ids() -> st.SearchStrategy[str]:
    """Make texts that no client may take for an Account ID: wrong length, alphabet or prefix.

    Some clients also take a key of 64 digits without its prefix, or one cut to 32: these are left out
    (client-protocol §1.2).
    """
    digits = st.text(string.hexdigits, max_size=80)
    wrong_length = digits.map(lambda tail: "05" + tail).filter(lambda text: len(text) not in (32, 64, 66))
    wrong_alphabet = st.tuples(st.integers(2, 65), st.sampled_from("ghxyz GZ-_\u0660é")).map(
        lambda change: ("05" + "a" * 64)[: change[0]] + change[1] + ("05" + "a" * 64)[change[0] + 1 :]
    )
    unknown_prefix = st.sampled_from(["01", "02", "04", "06", "16", "55", "ff"]).flatmap(
        lambda prefix: st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda key: prefix + key)
    )
    return st.one_of(st.just(""), wrong_length, wrong_alphabet, unknown_prefix)


@st.composite
def attachment_pointers(draw: st.DrawFn) -> dict[str, Any]:
    """Make attachment pointers as a message carries them (client-protocol §2.4)."""
    pointer: dict[str, Any] = {
        "url": f"http://filev2.getsession.org/file/{draw(st.integers(1, 2**53 - 1))}",
        "key_hex": draw(st.binary(min_size=64, max_size=64)).hex(),
        "digest_hex": draw(st.binary(min_size=32, max_size=32)).hex(),
        "size": draw(st.integers(1, 10_000_000)),
        "content_type": draw(st.sampled_from(["image/jpeg", "audio/aac", "application/octet-stream"])),
    }
    if draw(st.booleans()):
        pointer["file_name"] = draw(st.text(string.ascii_letters + " .-_äß漢", min_size=1, max_size=40))
    if draw(st.booleans()):
        pointer |= {"width": draw(st.integers(1, 10_000)), "height": draw(st.integers(1, 10_000))}
    if draw(st.booleans()):
        pointer["voice"] = True
    return pointer


@st.composite
def profiles(draw: st.DrawFn) -> dict[str, Any]:
    """Make the profile that visible messages carry."""
    profile: dict[str, Any] = {
        "display_name": draw(st.text(string.printable[:94] + "üłあ", min_size=1, max_size=30))
    }
    if draw(st.booleans()):
        profile |= {
            "picture_url": f"http://filev2.getsession.org/file/{draw(st.integers(1, 2**53 - 1))}",
            "profile_key_hex": draw(st.binary(min_size=32, max_size=32)).hex(),
        }
    return profile


CONTENT_KINDS = (
    "text",
    "reaction",
    "unsend",
    "receipt",
    "typing",
    "timer",
    "request_accepted",
    "data_extraction",
)
"""The everyday kinds of content (testee-operations §2.3)."""


@st.composite
def contents(draw: st.DrawFn, kind: str | None = None) -> dict[str, Any]:
    """Make a neutral content object of ``kind``, or of any everyday kind."""
    chosen = kind if kind is not None else draw(st.sampled_from(CONTENT_KINDS))
    content: dict[str, Any] = {"kind": chosen, "timestamp_ms": draw(timestamps_ms)}
    match chosen:
        case "text":
            content |= draw(_text_fields())
        case "reaction":
            content |= {
                "target_ms": draw(timestamps_ms),
                "author": draw(account_ids),
                "emoji": draw(emoji),
                "remove": draw(st.booleans()),
            }
        case "unsend":
            content |= {"target_ms": draw(timestamps_ms), "author": draw(account_ids)}
        case "receipt":
            content["read_ms"] = draw(st.lists(timestamps_ms, min_size=1, max_size=5))
        case "typing":
            content["started"] = draw(st.booleans())
        case "timer":
            content["expiration"] = draw(_expirations())
        case "request_accepted":
            if draw(st.booleans()):
                content["profile"] = draw(profiles())
        case "data_extraction":
            content["type"] = draw(st.sampled_from(["saved", "screenshot"]))
            if content["type"] == "saved":
                content["saved_ms"] = draw(timestamps_ms)
        case _:
            raise ValueError(f"no strategy makes contents of kind {chosen!r}")
    return content


@st.composite
def _expirations(draw: st.DrawFn) -> Mapping[str, Any]:
    mode = draw(st.sampled_from(["read", "send"]))
    return {"type": mode, "seconds": draw(st.sampled_from([300, 3_600, 43_200, 86_400, 604_800, 1_209_600]))}


@st.composite
def _text_fields(draw: st.DrawFn) -> dict[str, Any]:
    fields: dict[str, Any] = {"body": draw(texts)}
    if draw(st.booleans()):
        fields["attachments"] = draw(st.lists(attachment_pointers(), min_size=1, max_size=3))
    if draw(st.booleans()):
        fields["quote"] = {"timestamp_ms": draw(timestamps_ms), "author": draw(account_ids)}
    if draw(st.booleans()):
        fields["preview"] = [{"url": "https://getsession.org/", "title": draw(texts)}]
    if draw(st.booleans()):
        fields["profile"] = draw(profiles())
    if draw(st.booleans()):
        fields["expiration"] = draw(_expirations())
    if draw(st.booleans()):
        fields["sync_target"] = draw(account_ids)
    return fields
