"""What commands write: results on stdout, everything else on stderr."""

import json
import sys
from typing import Any


def write_json(value: Any) -> None:
    """Write one JSON object, as one line, to stdout and flush it."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def write_line(text: str = "") -> None:
    """Write one line of a result to stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Write one line for people to stderr."""
    print(text, file=sys.stderr, flush=True)
