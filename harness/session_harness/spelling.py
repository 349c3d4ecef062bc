"""Suggest the name that somebody probably meant."""

import difflib
from collections.abc import Iterable


def closest(word: str, names: Iterable[str]) -> str | None:
    """Return the name most like ``word``, or None when none is near."""
    found = difflib.get_close_matches(word, list(names), n=1, cutoff=0.5)
    return found[0] if found else None


def suggestion(word: str, names: Iterable[str]) -> str:
    """Return a hint that names the closest name, else all of them."""
    known = list(names)
    near = closest(word, known)
    if near is not None:
        return f"did you mean {near!r}?"
    return f"known: {', '.join(known)}" if known else ""
