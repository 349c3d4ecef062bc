"""Judge testees from pytest: inert unless ``--testee`` is given.

Checks are the functions that ``@check`` declares. Each is run once for each testee; its ending becomes a
verdict, its verdict a line of ``report.jsonl``, and the verdicts together the exit code. Other tests of the
same pytest run are left alone.
"""

from typing import Final

import pytest

from session_conformance.fixtures import CaseContext, access, case, genuine, network, peer, testee

__all__ = ["CaseContext", "access", "case", "genuine", "network", "peer", "testee"]

_PLUGIN_NAME: Final = "session-conformance-judge"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the judge."""
    from session_conformance.options import add_options

    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Begin to judge, if there is a testee."""
    if config.getoption("--testee") and not config.pluginmanager.has_plugin(_PLUGIN_NAME):
        from session_conformance.hooks import Judge

        config.pluginmanager.register(Judge(config), _PLUGIN_NAME)
