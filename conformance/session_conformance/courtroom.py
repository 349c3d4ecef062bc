"""What the checks of one process share: their testees, the peer, and the network, each opened when needed."""

import importlib.metadata
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from session_conformance.contract.errors import TesteeError
from session_conformance.contract.specs import SpecKind, TesteeSpec, open_testee, parse_testee_spec
from session_conformance.guard import GuardedTestee
from session_conformance.interruption import Interruption
from session_conformance.options import JudgeOptions, case_seed
from session_conformance.testnet_errors import TestnetFailed

if TYPE_CHECKING:
    from session_testnet import NetworkHandle


def harness_name() -> str:
    """Return the name and version that testees are told."""
    return f"session-harness/{importlib.metadata.version('session-harness')}"


class Courtroom:
    """Open testees and the network once, and close them at the end.

    ``announce`` gets one line for each step that takes time, such as the making of an environment.
    """

    def __init__(self, options: JudgeOptions, announce: Callable[[str], None]) -> None:
        self.options = options
        self._announce = announce
        self._testees: dict[str, GuardedTestee] = {}
        self._peer: GuardedTestee | None = None
        self._unavailable: dict[str, TesteeError] = {}
        self._network: NetworkHandle | None = None
        self._network_failure: TestnetFailed | None = None
        self._sitting = ""
        self._network_of = ""
        # With somebody else's network or server, mailboxes keep what earlier runs have left there.
        self._lasting = bool(options.state) or any(spec.kind is SpecKind.SERVER for spec in options.testees)
        self._nonce = secrets.token_hex(8) if self._lasting else ""
        self.interruption = Interruption()
        self.interruption.on_signal = self.abandon

    def begin_attempt(self, testee: str, check: str, attempt: int) -> int:
        """Make sure that an attempt finds no traces of another one, and return the seed of its accounts.

        The seed is the same for every testee and for a repetition: all are judged on the same accounts. Their
        mailboxes must be empty then, so that each testee, and each repetition, gets a network of its own. A
        network, or a server, of somebody else cannot be replaced; there every attempt has other accounts.
        """
        if self._lasting:
            return case_seed(f"{self.options.seed}\n{self._nonce}\n{testee}\n{attempt}", check)
        if self._network is not None and (attempt > 1 or self._network_of != testee):
            self._close_network()
        self._sitting = testee
        return case_seed(self.options.seed, check)

    @property
    def peer_spec(self) -> TesteeSpec:
        """Return the description of the peer."""
        return parse_testee_spec(self.options.peer)

    @property
    def peer_key(self) -> str:
        """Return the name of the peer among the participants of a check: never that of a testee."""
        return f"the peer {self.peer_spec.name}"

    def failure_of(self, name: str) -> TesteeError | None:
        """Return why a testee could not be started before."""
        return self._unavailable.get(name)

    def testee(self, spec: TesteeSpec) -> GuardedTestee:
        """Return a testee that has said hello; raise TesteeError, again and again, when it does not start."""
        if spec.name not in self._testees:
            self._testees[spec.name] = self._open(spec, spec.name)
        return self._testees[spec.name]

    def peer(self) -> GuardedTestee:
        """Return the peer, an instance of its own also where it is the testee's own implementation."""
        if self._peer is None:
            self._peer = self._open(self.peer_spec, self.peer_key, participant=self.peer_key)
        return self._peer

    def _open(self, spec: TesteeSpec, key: str, *, participant: str = "") -> GuardedTestee:
        if key in self._unavailable:
            raise self._unavailable[key]
        try:
            opened = GuardedTestee(
                open_testee(
                    spec,
                    seed=self.options.seed_number,
                    validate=self.options.validate,
                    deadlines=self.options.deadlines,
                    environment_provider=_environment,
                    say=self._announce,
                    harness=harness_name(),
                ),
                self.interruption,
                participant=participant,
            )
            opened.hello  # noqa: B018  # reading it starts the testee
        except TesteeError as error:
            self._unavailable[key] = error
            raise
        return opened

    def close_testee(self, name: str) -> None:
        """End a testee that is not needed any more."""
        opened = self._testees.pop(name, None)
        if opened is not None:
            opened.close()

    def network(self) -> "NetworkHandle":
        """Return the network, attached or local; raise TestnetFailed when it does not start."""
        if self._network_failure is not None:
            raise self._network_failure
        if self._network is None:
            try:
                self._network = self._open_network()
            except Exception as error:
                from session_testnet.hinted_error import message_and_hint

                message, hint = message_and_hint(error)
                text = f"the network did not start: {message}" + (f"\n  hint: {hint}" if hint else "")
                self._network_failure = TestnetFailed(text)
                raise self._network_failure from error
            self._network_of = self._sitting
        return self._network

    def _open_network(self) -> "NetworkHandle":
        import session_testnet

        options = self.options
        if options.state:
            path = Path(options.state)
            return session_testnet.attach(path if path.exists() or path.suffix else options.state)
        log_dir = None
        if options.run_dir is not None:
            log_dir = options.run_dir / "testnet"
            log_dir.mkdir(parents=True, exist_ok=True)
        return session_testnet.open_local(
            session_testnet.Topology.default(options.nodes, seed=options.seed),
            session_testnet.NetworkOptions(engine=options.engine, log_dir=log_dir).on_this_machine(),
        )

    @contextmanager
    def network_for_a_check(self) -> "Iterator[NetworkHandle]":
        """Give the network to a check; undo afterwards what the check did to nodes, faults and clock."""
        network = self.network()
        rules = {rule["id"] for rule in network.faults.list()}
        offset_ms = network.clock.offset_ms
        yield network
        for rule in network.faults.list():
            if rule["id"] not in rules:
                network.faults.clear(rule["id"])
        if network.clock.offset_ms != offset_ms:
            network.clock.move(offset_ms - network.clock.offset_ms)
        for node in network.nodes:
            status = node.status()
            if status["clock_skew_ms"]:
                network.clock.skew(node.name, 0)
            match status["status"]:
                case "paused":
                    node.resume()
                case "stopped":
                    node.start()

    def abandon(self) -> None:
        """Kill the testees' processes, so that nobody waits for an answer, and none outlives the run."""
        for opened in (*tuple(self._testees.values()), *([self._peer] if self._peer is not None else [])):
            opened.abandon()

    def close(self) -> None:
        """End the testees, the peer and a network of our own."""
        for name in list(self._testees):
            self.close_testee(name)
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.close()
        self._close_network()

    def _close_network(self) -> None:
        network, self._network = self._network, None
        if network is not None:
            network.close()


def _environment(name: str, lock: Path, *, say: Callable[[str], None]) -> Path:
    from session_conformance.testees.environments import ensure_environment

    return ensure_environment(name, lock, say=say)
