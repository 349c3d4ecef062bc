"""Recovery passwords: writing, reading, refusing."""

import hashlib
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_protocol import mnemonic
from session_protocol.errors import (
    BadMnemonicChecksum,
    BadMnemonicWord,
    BadMnemonicWords,
    InvalidArgument,
    InvalidLength,
    ProtocolError,
)

deterministic = settings(derandomize=True, deadline=None)
payloads = st.sampled_from(mnemonic.DATA_SIZES).flatmap(lambda size: st.binary(min_size=size, max_size=size))
WORDS = mnemonic.encode(bytes(range(16))).split()


@deterministic
@given(payloads)
def test_words_read_back(data: bytes) -> None:
    words = mnemonic.encode(data)
    assert len(words.split()) == len(data) // 4 * 3 + 1
    assert set(words.split()) <= set(mnemonic.word_list().words)
    assert mnemonic.decode(words) == data


@deterministic
@given(
    payloads,
    st.lists(st.sampled_from([" ", "\n", "\t  ", "\u3000", "\r\n"]), min_size=50, max_size=50),
    st.sampled_from([str.upper, str.title, str.lower]),
    st.integers(3, 12),
)
def test_white_space_case_and_endings_do_not_matter(
    data: bytes, spaces: list[str], case: object, kept: int
) -> None:
    words = [word[:kept] for word in mnemonic.encode(data).split()]
    written = "".join(space + word for space, word in zip(spaces, words, strict=False)) + spaces[-1]
    assert mnemonic.decode(case(written)) == data  # type: ignore[operator]


@deterministic
@given(payloads, st.data())
def test_a_wrong_checksum_word_is_refused(data: bytes, draw: st.DataObject) -> None:
    words = mnemonic.encode(data).split()
    others = [word for word in mnemonic.word_list().words if word != words[-1]]
    words[-1] = draw.draw(st.sampled_from(others))
    with pytest.raises(BadMnemonicChecksum):
        mnemonic.decode(" ".join(words))


@deterministic
@given(payloads, st.data())
def test_an_unknown_word_is_refused_by_its_place(data: bytes, draw: st.DataObject) -> None:
    words = mnemonic.encode(data).split()
    place = draw.draw(st.integers(0, len(words) - 1))
    words[place] = draw.draw(st.sampled_from(["xylophone", "ab", "zzz", "\u00e4hh", "\ud800x", "123"]))
    with pytest.raises(BadMnemonicWord, match=rf"^word {place + 1} "):
        mnemonic.decode(" ".join(words))


@pytest.mark.parametrize("count", [number for number in range(60) if number not in (13, 25, 49)])
def test_other_numbers_of_words_are_refused(count: int) -> None:
    with pytest.raises(BadMnemonicWords, match=f"not {count}$"):
        mnemonic.decode(" ".join((WORDS * 5)[:count]))


def test_words_beyond_32_bits_are_refused() -> None:
    with pytest.raises(BadMnemonicWord, match="words 4 to 6"):
        mnemonic.decode(" ".join([*WORDS[:3], "abbey", "abbey", "zoom", *WORDS[6:]]))


@pytest.mark.parametrize("number", [0, 1, 1625, 1626, 1626**2 - 1, 1626**2, 2**32 - 1])
def test_numbers_at_the_edges(number: int) -> None:
    data = number.to_bytes(4, "little") * 4
    assert mnemonic.decode(mnemonic.encode(data)) == data


@deterministic
@given(st.text())
def test_any_text_is_refused_in_the_family(text: str) -> None:
    with pytest.raises(ProtocolError):
        mnemonic.decode(text)


@pytest.mark.parametrize("size", [0, 4, 12, 15, 17, 20, 31, 33, 63, 65])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(InvalidLength):
        mnemonic.encode(bytes(size))


def test_the_word_list() -> None:
    listing = mnemonic.word_list("english")
    assert (len(listing.words), listing.prefix_length, listing.words[0], listing.words[-1]) == (
        1626,
        3,
        "abbey",
        "zoom",
    )
    assert len({listing.prefix(word) for word in listing.words}) == 1626
    assert all(unicodedata.normalize("NFC", word).lower() == word for word in listing.words)
    digest = hashlib.sha256("\n".join(listing.words).encode()).hexdigest()
    assert digest == "998df55cb16d2318130c5cf7e9d4408247c8c4674935ee6e07d53f2f00ccf19b"


@pytest.mark.parametrize("language", ["klingon", "", "../english", "English"])
def test_unknown_languages_are_refused(language: str) -> None:
    for use in (
        mnemonic.word_list,
        lambda name: mnemonic.encode(bytes(16), name),
        lambda name: mnemonic.decode("", name),
    ):
        with pytest.raises(InvalidArgument, match="english"):
            use(language)
