"""The base of the testnet's errors that also say how to mend what is wrong."""


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


def message_and_hint(error: Exception) -> tuple[str, str]:
    """Return what to tell of any error: its sentence, which is never empty, and its hint, or "".

    For callers with a place of its own for the hint, which the text of an error may end in.
    """
    message = str(getattr(error, "message", "")) or str(error) or type(error).__name__
    return message, str(getattr(error, "hint", ""))
