"""The base of the testnet's errors that also say how to mend what is wrong."""

from pathlib import Path


class HintedError(Exception):
    """Say what is wrong in one sentence and, where there is one, a hint how to mend it.

    The text of the error is both, with the hint in parentheses; ``message`` is the sentence alone.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        """Take the sentence and the hint, "" for none."""
        super().__init__(message)
        self.hint = hint

    @property
    def message(self) -> str:
        """Return the sentence without the hint."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class PlacedError(HintedError, ValueError):
    """Say what in a file cannot be, in which file and at which key, and how to mend it."""

    def __init__(
        self, message: str, hint: str = "", *, file: Path | None = None, key: str | None = None
    ) -> None:
        """Take the sentence, the hint, and the place as far as it is known."""
        super().__init__(message, hint)
        self.file = file
        self.key = key

    @property
    def message(self) -> str:
        """Return place and sentence, without the hint."""
        return ": ".join(str(part) for part in (self.file, self.key, self.args[0]) if part is not None)


def message_and_hint(error: Exception) -> tuple[str, str]:
    """Return what to tell of any error: its sentence, which is never empty, and its hint, or "".

    For callers with a place of its own for the hint, which the text of an error may end in.
    """
    message = str(getattr(error, "message", "")) or str(error) or type(error).__name__
    return message, str(getattr(error, "hint", ""))
