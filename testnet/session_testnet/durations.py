"""Read lengths of time as people write them: ``90``, ``45s``, ``30m``, ``2h``, ``1d``."""

import re
from typing import Final

_UNITS: Final = {"ms": 1, "": 1000, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FORM: Final = re.compile(r"(?P<sign>[+-]?)(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|[smhd]?)", re.ASCII)


def parse_duration_ms(text: str) -> int:
    """Return the milliseconds of a length of time; a number without unit is in seconds.

    Raise ValueError for anything else.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a length of time: write a number and ms, s, m, h or d, like 30m")
    milliseconds = round(float(match["number"]) * _UNITS[match["unit"]])
    return -milliseconds if match["sign"] == "-" else milliseconds
