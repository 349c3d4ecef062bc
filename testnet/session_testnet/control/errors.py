"""What goes wrong with a control command."""

from session_testnet.hinted_error import HintedError


class ControlError(HintedError):
    """Say why a command was not carried out, and how to mend it."""
