"""A whole testnet in one container, for tests that use testcontainers (the extra ``docker``).

It is reached at the container's own address: from this machine where its engine runs on it (Linux), and from
containers on the same Docker network everywhere. It works with and without testcontainers' reaper: the
testnet ends by itself after ``ttl``, and ``session-harness cleanup`` finds what is left.
"""

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any, Final, Self

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from session_testnet.control.attached import AttachedNetworkHandle
from session_testnet.docker_daemon import DockerError, refusals
from session_testnet.docker_labels import NetworkLabels
from session_testnet.images.build import default_tag

# `up --json` writes the state as one line when the testnet is ready.
_READY: Final = re.compile(r'^\{"schema": 1, ', re.MULTILINE)
_OWN_ADDRESS: Final = "import socket; print(socket.gethostbyname(socket.gethostname()))"


class SessionTestnetContainer(DockerContainer):
    """Run ``session-harness up`` in a container; it is ready when :meth:`start` returns.

    ``nodes``, ``profile`` and ``seed`` are those of ``up``; ``options`` are further words of its command
    line. ``deadline_s`` is how long it may take to be ready.
    """

    def __init__(
        self,
        image: str | None = None,
        *,
        nodes: int | None = None,
        profile: str | None = None,
        seed: str = "0",
        ttl: str = "1h",
        options: Sequence[str] = (),
        deadline_s: int = 60,
        **kwargs: Any,
    ) -> None:
        words = ["--json", "--seed", seed, "--ttl", ttl]
        for option, value in (("--nodes", nodes), ("--profile", profile)):
            words += [] if value is None else [option, str(value)]
        # The address is known only inside, when the container has been started.
        script = (
            f"own=$(python -c {shlex.quote(_OWN_ADDRESS)}) && exec session-harness up "
            f'--advertise-ip "$own" --control-ip "$own" {shlex.join([*words, *options])}'
        )
        labels = NetworkLabels("testcontainers").of("testnet")
        super().__init__(
            image or default_tag(), command=shlex.join(["sh", "-c", script]), labels=labels, **kwargs
        )
        self.waiting_for(LogMessageWaitStrategy(_READY).with_startup_timeout(deadline_s))
        self._state: dict[str, Any] | None = None

    def start(self) -> Self:
        """Start the container and wait until a message could travel through it; raise DockerError."""
        try:
            with refusals(f"cannot start a testnet in {self.image}"):
                super().start()
        except DockerError as error:
            raise DockerError(error.message, "build the image with: session-harness image build") from error
        except (TimeoutError, RuntimeError) as error:
            said = _last_words(self)
            self.stop()
            raise DockerError(f"the testnet in {self.image} did not become ready: {said or error}") from error
        return self

    @property
    def state(self) -> dict[str, Any]:
        """Return where everything is, as the state file says it."""
        if self._state is None:
            written, _ = self.get_logs()
            line = next(line for line in written.decode().splitlines() if _READY.match(line))
            self._state = json.loads(line)
        return self._state

    @property
    def registry_url(self) -> str:
        """Return the URL that clients bootstrap from."""
        return str(self.state["registry"]["url"])

    @property
    def gateway_url(self) -> str:
        """Return the HTTP proxy that lets unmodified clients in."""
        return str(self.state["gateway"]["url"])

    @property
    def community_url(self) -> str:
        """Return the URL of the community server."""
        return str(self.state["community"]["url"])

    @property
    def files_url(self) -> str:
        """Return the URL of the file server."""
        return str(self.state["files"]["url"])

    def network(self) -> AttachedNetworkHandle:
        """Return a handle that acts on the testnet: nodes, clock, faults, trace; close it after use."""
        return AttachedNetworkHandle(self.state)


def _last_words(container: SessionTestnetContainer) -> str:
    try:
        _, complaints = container.get_logs()
    except Exception:  # noqa: BLE001 - there is no log where there is no container
        return ""
    return " ".join(complaints.decode(errors="replace").split())[-500:]
