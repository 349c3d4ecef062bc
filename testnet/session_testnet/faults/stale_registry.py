"""A registry that is behind: clients are answered as they were some blocks ago, while a rule says so."""

from dataclasses import replace

from session_testnet.faults.rules import MAX_BLOCKS, REGISTRY, FaultSource
from session_testnet.services.registry.snapshot import NetworkSnapshot
from session_testnet.services.registry.state import RegistryImage, RegistryState
from session_testnet.trace import Trace


class StaleRegistry:
    """Show a registry's clients an older state for each request that a rule ``stale_registry`` strikes.

    It remembers the last blocks from its making on; before that there is nothing older to show. Every strike
    is traced as an event of kind ``fault``. Used from one thread, the loop's.
    """

    def __init__(self, state: RegistryState, book: FaultSource, trace: Trace) -> None:
        self._state = state
        self._book = book
        self._trace = trace
        # The images after each change, oldest first.
        self._history = [state.image()]
        self._unsubscribe = state.subscribe(self._remember)

    def close(self) -> None:
        """Follow the registry no more."""
        self._unsubscribe()

    async def shown(self) -> RegistryState:
        """Return the registry's state, or a copy of what it was as many blocks ago as the rule says."""
        for rule in self._book.fitting(("stale_registry",), REGISTRY):
            strike = await self._book.claim(rule.id, REGISTRY)
            if strike is None:
                continue
            image = self._image_at(self._state.height - rule.blocks)
            self._trace.record(
                "fault",
                REGISTRY,
                rule=rule.id,
                action=rule.action,
                use=strike.number,
                height=image.height,
            )
            return RegistryState.of_image(image)
        return self._state

    def _image_at(self, height: int) -> RegistryImage:
        """Return what the registry was at a height, or the oldest that is remembered."""
        older = [image for image in self._history if image.height <= height]
        if not older:
            return self._history[0]
        # Blocks between two changes are empty: only their height and hash differ.
        return replace(older[-1], height=height)

    def _remember(self, snapshot: NetworkSnapshot) -> None:
        self._history.append(self._state.image())
        oldest_needed = snapshot.height - MAX_BLOCKS
        while len(self._history) > 1 and self._history[1].height <= oldest_needed:
            del self._history[0]
