"""What goes wrong with a control command."""


class ControlError(Exception):
    """Say why a command was not carried out, and how to mend it."""

    def __init__(self, message: str, hint: str = "") -> None:
        """Take one sentence of what went wrong and, where there is one, a hint."""
        super().__init__(message)
        self.hint = hint
