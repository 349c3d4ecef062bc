"""Judge how recovery passwords are written and read (client-protocol §1.3)."""

import zlib

from hypothesis import example, given
from hypothesis import strategies as st

from session_conformance import strategies, vectors
from session_conformance.checks import check, refused
from session_conformance.contract import Testee
from session_protocol import mnemonic
from session_protocol.accounts import Account

# Words, with the checksum, for the secrets that clients restore.
WORDS_OF_BYTES = {16: 13, 32: 25}


@check("MNEM-01", ops=("mnemonic.encode",))
@given(entropy=strategies.entropies)
def test_writes_thirteen_words(testee: Testee, entropy: bytes) -> None:
    words = testee.call("mnemonic.encode", seed_hex=entropy.hex(), language="english")["words"]
    assert words == mnemonic.encode(entropy)
    assert len(words.split()) == 13


@check("MNEM-02", ops=("mnemonic.decode",))
@given(entropy=strategies.entropies)
def test_restores_the_account(testee: Testee, entropy: bytes) -> None:
    restored = testee.call("mnemonic.decode", words=mnemonic.encode(entropy), language="english")
    assert restored["seed_hex"] == entropy.hex()
    assert restored["session_id"] == Account.from_seed(entropy).account_id


@check("MNEM-02", ops=("mnemonic.decode",))
def test_restores_the_published_accounts(testee: Testee) -> None:
    published = [
        case
        for case in vectors.cases("mnemonic", "mnemonic.decode")
        if case.result == "valid" and len(case.input["words"].split()) == 13
    ]
    assert published, "the vector file lost its recovery passwords"
    for case in published:
        restored = testee.call("mnemonic.decode", words=case.input["words"], language="english")
        assert restored["seed_hex"] == case.output["seed_hex"], case.id


@check("MNEM-03", ops=("mnemonic.decode",))
@given(entropy=strategies.entropies, choice=st.integers(0, 2**32))
def test_refuses_a_wrong_checksum_word(testee: Testee, entropy: bytes, choice: int) -> None:
    words = mnemonic.encode(entropy).split()
    # Only a word with other first letters is wrong: words are compared by their prefix.
    others = [word for word in mnemonic.word_list("english").words if word[:3] != words[-1][:3]]
    words[-1] = others[choice % len(others)]
    refused(testee, "mnemonic.decode", "bad_mnemonic_checksum", words=" ".join(words), language="english")


@check("MNEM-04", ops=("mnemonic.decode",))
@given(
    entropy=strategies.entropies,
    place=st.integers(0, 11),
    unknown=st.sampled_from(["zzz", "qqqqq", "xylophone", "ääh", "12345"]),
)
def test_refuses_an_unknown_word(testee: Testee, entropy: bytes, place: int, unknown: str) -> None:
    words = mnemonic.encode(entropy).split()
    words[place] = unknown
    refused(testee, "mnemonic.decode", "bad_mnemonic_word", words=" ".join(words), language="english")


@check("MNEM-05", ops=("mnemonic.decode",))
@given(entropy=strategies.entropies, data=st.data())
@example(entropy=bytes(16), data=None)
def test_refuses_too_few_words(testee: Testee, entropy: bytes, data: st.DataObject | None) -> None:
    """Twelve words are what a person has who forgets the checksum; some clients declare that they take it."""
    too_few = [count for count in range(13) if count not in word_counts(testee)]
    count = too_few[-1] if data is None else data.draw(st.sampled_from(too_few), label="words")
    # One word short, the last word may be taken for a checksum that is wrong.
    codes = ("bad_mnemonic_words", "bad_mnemonic_checksum") if count == 12 else ("bad_mnemonic_words",)
    words = mnemonic.encode(entropy).split()[:count]
    refused(testee, "mnemonic.decode", codes, words=" ".join(words), language="english")


@check("MNEM-06", ops=("mnemonic.decode",))
@given(entropy=strategies.entropies, extra=st.sampled_from([1, 4]))
def test_refuses_a_broken_number_of_words(testee: Testee, entropy: bytes, extra: int) -> None:
    words = mnemonic.encode(entropy).split()[:-1]
    longer = with_checksum(words + words[:extra])
    refused(testee, "mnemonic.decode", "bad_mnemonic_words", words=longer, language="english")


def word_counts(testee: Testee) -> list[int]:
    """Return how many words, with the checksum, the testee takes."""
    declared: list[int] = testee.hello.feature("mnemonic.word_counts", [13])
    return declared


def with_checksum(words: list[str]) -> str:
    """Add the right checksum word, so that only the number of words is wrong."""
    place = zlib.crc32("".join(word[:3] for word in words).encode()) % len(words)
    return " ".join([*words, words[place]])


@check("MNEM-02", ops=("mnemonic.decode",))
@given(data=st.data())
def test_restores_every_declared_length(testee: Testee, data: st.DataObject) -> None:
    sizes = [size for size, count in WORDS_OF_BYTES.items() if count in word_counts(testee)]
    secret = data.draw(st.sampled_from(sizes or [16]).flatmap(lambda n: st.binary(min_size=n, max_size=n)))
    restored = testee.call("mnemonic.decode", words=mnemonic.encode(secret), language="english")
    assert restored["seed_hex"] == secret.hex()


@check("MNEM-09", ops=("mnemonic.decode",), features={"mnemonic.case_sensitive": (True, False)})
@given(entropy=strategies.entropies)
def test_minds_capitals_as_declared(testee: Testee, entropy: bytes) -> None:
    words = mnemonic.encode(entropy).upper()
    if testee.hello.feature("mnemonic.case_sensitive"):
        refused(testee, "mnemonic.decode", "bad_mnemonic_word", words=words, language="english")
    else:
        assert testee.call("mnemonic.decode", words=words, language="english")["seed_hex"] == entropy.hex()


@check("MNEM-07", ops=("mnemonic.decode",))
@given(entropy=strategies.entropies, space=st.sampled_from(["  ", "\n", "\t", " \n "]))
def test_forgives_white_space(testee: Testee, entropy: bytes, space: str) -> None:
    words = space + space.join(mnemonic.encode(entropy).split()) + space
    assert testee.call("mnemonic.decode", words=words, language="english")["seed_hex"] == entropy.hex()


@check("MNEM-08", ops=("mnemonic.decode",))
@given(entropy=strategies.entropies)
def test_reads_words_by_their_first_letters(testee: Testee, entropy: bytes) -> None:
    words = " ".join(word[:3] for word in mnemonic.encode(entropy).split())
    assert testee.call("mnemonic.decode", words=words, language="english")["seed_hex"] == entropy.hex()
