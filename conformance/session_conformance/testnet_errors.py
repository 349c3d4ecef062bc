"""What keeps a check from judging, and lies in the network of the suites."""


class TestnetFailed(Exception):
    """Report that the network of the suites did not start."""

    __test__ = False


class TestnetErred(Exception):
    """Report that the network of the suites did what no testee can be blamed for."""

    __test__ = False


class TooFewNodes(Exception):
    """Report that a check, or a client, needs a larger network than there is."""
