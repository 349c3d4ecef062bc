"""Wait until a network is usable, stage by stage, and say which stage was not reached."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from session_protocol.accounts import Account
from session_testnet.client import ClientError, NetworkClient
from session_testnet.client.paths import RELAYS
from session_testnet.endpoints import Endpoint
from session_testnet.hinted_error import HintedError
from session_testnet.logs import LogBook

LOG_LINES_SHOWN = 20


class NotReadyError(HintedError):
    """Say which stage of starting was not reached in time, what was seen last, and what the logs say."""

    def __init__(self, stage: str, deadline_s: float, last_seen: str, log_lines: list[str]) -> None:
        """Take the stage that was awaited and what is known about its failure."""
        message = (
            f"the network was not ready within {deadline_s:g} s: waited for {stage}; last seen: {last_seen}"
        )
        super().__init__(
            "\n  ".join([message, *log_lines]),
            "the machine may be overloaded, or another program may hold the addresses",
        )
        self.stage = stage


async def wait_until_ready(
    registry_url: str, *, nodes: Sequence[Endpoint], deadline_s: float, logs: LogBook, seed: str
) -> None:
    """Return once a client could send a message: listening, registered, swarm agreed, onion path usable.

    ``nodes`` are those that can be asked from this machine. Raise :class:`NotReadyError` with the stage that
    was not reached. Networks of fewer than four nodes have no onion path of three relays and a destination;
    there, direct requests prove the last stage.
    """
    rng = random.Random(f"readiness {seed}")  # noqa: S311 - it chooses nodes; nobody writes to the account
    # Waiting is on conditions: a stage is tried again only after its failure, until the deadline.
    probe = Account.generate(rng.randbytes)
    async with NetworkClient(probe, [registry_url], rng=rng, use_onion=len(nodes) > RELAYS) as client:
        stages: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("the registry to list the nodes", client.bootstrap),
            ("the nodes to agree on a swarm", lambda: client.swarm(probe.account_id)),
            ("a request through the network to be answered", client.info),
        ]
        if not nodes:
            del stages[1:]
        end = asyncio.get_running_loop().time() + deadline_s
        for stage, attempt in stages:
            last_seen = "nothing"
            while True:
                left = end - asyncio.get_running_loop().time()
                if left <= 0:
                    raise NotReadyError(stage, deadline_s, last_seen, logs.lines(None, tail=LOG_LINES_SHOWN))
                try:
                    await asyncio.wait_for(attempt(), left)
                    break
                except (ClientError, TimeoutError) as error:
                    last_seen = str(error) or type(error).__name__
                    await asyncio.sleep(min(0.05, max(left, 0)))
