"""What servers do of their own accord goes on after an error, which the trace shows."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from session_testnet.clock import Clock
from session_testnet.services.community import CommunityServer
from session_testnet.services.community import app as community_app
from session_testnet.services.files import FileServer
from session_testnet.services.files import app as files_app
from session_testnet.services.push import PushServer
from session_testnet.services.push import app as push_app
from session_testnet.trace import Trace

SEED = bytes(range(32))
DEADLINE_S = 10
PERIOD_S = 0.01


class NoNodes:
    """A network in which nobody keeps anything."""

    def swarm(self, account: bytes) -> Sequence[str]:
        return ()

    async def subscribe(self, node: str, hear: Any, request: bytes) -> bytes | None:
        return None


@pytest.fixture(params=["community", "files", "push"])
def failing(
    request: pytest.FixtureRequest, clock: Clock, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Any, Callable[[], int], str]]:
    """A server whose periodic work fails twice; how often it was done; the kind of the events."""
    runs: list[int] = []
    third = threading.Event()

    def work(*_: Any) -> int:
        runs.append(1)
        if len(runs) <= 2:
            raise OSError(28, "No space left on device")
        third.set()
        return 0

    def done() -> int:
        assert third.wait(DEADLINE_S), f"the work was done {len(runs)} times, and then no more"
        return len(runs)

    async def upkeep(server: Any) -> None:
        work()

    if request.param == "community":
        monkeypatch.setattr(community_app, "CLEANUP_PERIOD_S", PERIOD_S)
        monkeypatch.setattr(community_app.Cleanup, "run_periodically", work)
        yield CommunityServer(SEED, clock=clock, trace=trace), done, "community_error"
    elif request.param == "files":
        monkeypatch.setattr(files_app, "CLEANUP_PERIOD_S", PERIOD_S)
        monkeypatch.setattr(FileServer, "purge", work)
        yield FileServer(SEED, clock=clock, trace=trace), done, "file_server_error"
    else:
        monkeypatch.setattr(push_app, "UPKEEP_PERIOD_S", PERIOD_S)
        monkeypatch.setattr(PushServer, "refresh", upkeep)
        yield PushServer(SEED, clock=clock, trace=trace, link=NoNodes()), done, "push_server_error"


def test_an_error_in_periodic_work_is_recorded_and_the_work_goes_on(
    failing: tuple[Any, Callable[[], int], str], serve: Callable[..., Any], trace: Trace
) -> None:
    server, done, kind = failing
    serve(server)
    assert done() >= 3
    errors = trace.events(kind=kind)
    assert [(event["node"], event["error"]) for event in errors] == [
        (server.name, "OSError(28, 'No space left on device')")
    ] * 2
