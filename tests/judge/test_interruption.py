"""Ctrl-C is noted, and takes effect where nothing can swallow it."""

import signal
import types
from typing import Any, cast

import pytest

from session_conformance.interruption import Interruption


@pytest.fixture
def session() -> Any:
    return cast("pytest.Session", types.SimpleNamespace(shouldstop=False))


def test_the_first_signal_is_noted_and_stops_after_the_check(session: Any) -> None:
    interruption = Interruption()
    interruption.check()
    interruption.watch(session)
    try:
        signal.raise_signal(signal.SIGINT)
        assert interruption.noted
        assert session.shouldstop == "interrupted"
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    finally:
        interruption.release()


def test_the_second_signal_ends_at_once(session: Any) -> None:
    interruption = Interruption()
    interruption.watch(session)
    try:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        interruption.release()


def test_the_signal_is_given_back(session: Any) -> None:
    before = signal.getsignal(signal.SIGINT)
    interruption = Interruption()
    interruption.watch(session)
    interruption.release()
    interruption.release()
    assert signal.getsignal(signal.SIGINT) is before
