"""Show a run while it goes on: one line a suite."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from session_conformance.verdicts import Verdict
from session_harness.cli.console import progress_console
from session_harness.cli.output import note
from session_harness.report.results import PROBLEMS, tally
from session_harness.report.styles import STYLES, counted
from session_harness.report.text import visible


class Progress(Protocol):
    """Take the lines of a run's stream as they come."""

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Take one line."""


class Tally:
    """Count the verdicts of a run by suite."""

    def __init__(self) -> None:
        self.planned: int | None = None
        self.done = 0
        self.suites: dict[str, Counter[Verdict]] = {}

    def take(self, line: Mapping[str, Any]) -> None:
        """Count a line of the stream."""
        if line.get("type") == "plan":
            self.planned = int(line["checks"])
        if line.get("type") == "verdict":
            suite = str(line["suite"]) or "expectations"
            self.suites.setdefault(suite, Counter())[Verdict(line["verdict"])] += 1
            self.done += 1


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Show progress on stderr: a live table on a terminal, a line for each finished suite elsewhere."""
    console = progress_console()
    if console.is_terminal and not console.is_dumb_terminal:
        with _live(console) as progress:
            yield progress
    else:
        plain = _Plain()
        yield plain
        plain.finish()


class _Plain:
    """Write a line when a testee is through with a suite, and one for each problem at once."""

    def __init__(self) -> None:
        self._current: tuple[str, str] | None = None
        self._verdicts: Counter[Verdict] = Counter()

    def __call__(self, line: Mapping[str, Any]) -> None:
        if line.get("type") != "verdict":
            return
        key = (str(line["suite"]) or "expectations", str(line["testee"]))
        if key != self._current:
            self.finish()
            self._current = key
        verdict = Verdict(line["verdict"])
        self._verdicts[verdict] += 1
        if verdict in PROBLEMS:
            note(f"{STYLES[verdict].word}: {visible(line['check'])} ({visible(line['testee'])})")

    def finish(self) -> None:
        """Write the line of what has come to its end."""
        if self._current is not None:
            suite, testee = self._current
            note(f"{visible(suite)} ({visible(testee)}): {counted(tally(self._verdicts.elements()))}")
        self._current = None
        self._verdicts.clear()


@contextmanager
def _live(console: Console) -> Iterator[Progress]:
    counts = Tally()
    with Live(console=console, refresh_per_second=8, transient=True, get_renderable=lambda: view(counts)):
        yield counts.take


def view(counts: Tally) -> RenderableType:
    """Return the live table: a line for each suite so far, and how far the run is."""
    table = Table.grid(padding=(0, 2))
    for suite, verdicts in counts.suites.items():
        signs = Text("  ").join(
            Text(f"{STYLES[verdict].sign} {number}", STYLES[verdict].style)
            for verdict, number in tally(verdicts.elements()).items()
        )
        table.add_row(Text(visible(suite)), signs)
    if not counts.planned:
        return Group(table, Text("starting …", "dim"))
    bar = ProgressBar(total=counts.planned, completed=counts.done, width=40)
    line = Table.grid(padding=(0, 2))
    line.add_row(bar, Text(f"{counts.done} of {counts.planned}", "dim"))
    return Group(table, line)
