"""Judge how recovery passwords are written and read (client-protocol §1.3)."""

from hypothesis import example, given
from hypothesis import strategies as st

from session_conformance import strategies, vectors
from session_conformance.checks import check, refused
from session_conformance.contract import Testee
from session_protocol import mnemonic
from session_protocol.accounts import Account


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
    refused(testee, "mnemonic.decode", words=" ".join(words), language="english")


@check("MNEM-04", ops=("mnemonic.decode",))
@given(
    entropy=strategies.entropies,
    place=st.integers(0, 11),
    unknown=st.sampled_from(["zzz", "qqqqq", "xylophone", "ääh", "12345"]),
)
def test_refuses_an_unknown_word(testee: Testee, entropy: bytes, place: int, unknown: str) -> None:
    words = mnemonic.encode(entropy).split()
    words[place] = unknown
    refused(testee, "mnemonic.decode", words=" ".join(words), language="english")


@check("MNEM-05", ops=("mnemonic.decode",))
@given(entropy=strategies.entropies, count=st.integers(0, 12))
@example(entropy=bytes(16), count=12)  # all words but the checksum: what a person forgets
def test_refuses_too_few_words(testee: Testee, entropy: bytes, count: int) -> None:
    words = mnemonic.encode(entropy).split()[:count]
    refused(testee, "mnemonic.decode", words=" ".join(words), language="english")


@check("MNEM-06", ops=("mnemonic.decode",))
@given(entropy=strategies.entropies, extra=st.integers(1, 2))
def test_refuses_a_broken_number_of_words(testee: Testee, entropy: bytes, extra: int) -> None:
    words = mnemonic.encode(entropy).split()
    # The checksum stays right, so that only the number of words is wrong.
    body = words[:-1] + words[:extra]
    refused(testee, "mnemonic.decode", words=" ".join([*body, *words[-1:]]), language="english")


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
