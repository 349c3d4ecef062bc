"""Find out what is new in a window over a growing list of lines."""

from collections.abc import Sequence


def appended(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Return the lines at the end of ``now`` that came after those of ``before``.

    Both are the last lines of one growing log, seen through windows of equal length. When nothing of
    ``before`` is left in ``now``, all of it is new.
    """
    if not before:
        return list(now)
    for end in range(len(now), 0, -1):
        overlap = min(end, len(before))
        if list(now[end - overlap : end]) == list(before[len(before) - overlap :]):
            return list(now[end:])
    return list(now)
