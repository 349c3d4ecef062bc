"""Show a run on a terminal: a table of suites and testees, then each problem and how to repeat it."""

from collections.abc import Iterable, Mapping
from typing import Final

from rich.box import Box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from session_conformance.verdicts import CheckRecord, Verdict
from session_harness.durations import format_duration
from session_harness.report.results import NotRun, RunResults, short_name, suite_of
from session_harness.report.rules import rules_of
from session_harness.report.styles import STYLES, counted
from session_harness.report.text import one_line, shortened, visible

LONGEST_MESSAGE: Final = 1200
MOST_PROBLEMS: Final = 40

# Two thin rules and nothing else: below the head and above the sums.
_BOX: Final = Box("    \n    \n ── \n    \n    \n ── \n    \n    \n")


def print_run(console: Console, run: RunResults, *, report: str = "") -> None:
    """Write everything about a finished run; ``report`` is the place of the HTML report."""
    console.print(verdict_table(run))
    console.print(legend(run))
    for record in run.problems[:MOST_PROBLEMS]:
        print_problem(console, run, record)
    if len(run.problems) > MOST_PROBLEMS:
        console.print(Text(f"\n… and {len(run.problems) - MOST_PROBLEMS} more problems: see the report"))
    for group in run.prevented:
        console.print(not_run(group))
    console.print(closing(run))
    if report:
        console.print(Text(f"report: {report}"), soft_wrap=True)


def verdict_table(run: RunResults) -> Table:
    """Return the table: a row for each suite, a column for each testee, counts of verdicts in the cells."""
    table = Table(box=_BOX, show_footer=True, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("suite", footer=Text("all", "bold"), no_wrap=True)
    for testee in run.testees:
        table.add_column(
            Text(visible(testee.title)), footer=_cell(run.counts(testee=testee.name)), min_width=12
        )
    for suite in run.suites:
        cells = (_cell(run.counts(suite=suite, testee=testee.name)) for testee in run.testees)
        table.add_row(Text(visible(suite)), *cells)
    return table


def legend(run: RunResults) -> Text:
    """Return what the signs in the table mean: those that occur in it."""
    return _spaced(
        Text(f"{STYLES[verdict].sign} {STYLES[verdict].word}", STYLES[verdict].style)
        for verdict in run.counts()
    )


def print_problem(console: Console, run: RunResults, record: CheckRecord) -> None:
    """Write one problem: what was checked, what came out, how to repeat it."""
    style = STYLES[record.verdict]
    title = Text.assemble(
        ("\n" + style.sign + " ", style.style),
        (visible(f"{suite_of(record)}.{short_name(record)}"), "bold"),
        (f"  {style.word}", style.style),
        (f"  {visible(record.testee)}", "dim"),
    )
    console.print(title)
    if record.sentence:
        console.print(_indented(Text(one_line(record.sentence, 200), "italic")))
    rules = dict(rules_of(record.requirements))
    for name in record.requirements:
        console.print(
            _indented(Text(visible(f"{name}: {rules[name]}" if name in rules else name), "italic dim"))
        )
    if record.message:
        console.print(_indented(Text(shortened(visible(record.message).strip(), LONGEST_MESSAGE))))
    replay = run.replay_line(record)
    if replay:
        # Never broken into lines: it is there to be copied.
        line = Text.assemble(("  replay: ", "dim"), (visible(replay), "bold cyan"))
        console.print(line, soft_wrap=True)


def not_run(group: NotRun) -> Text:
    """Return the line about checks that one thing kept from running."""
    style = STYLES[Verdict.NOT_RUN]
    count = f"{group.count} check{'s' if group.count != 1 else ''}"
    return Text.assemble(
        (f"\n{style.sign} ", style.style),
        (f"{count} of {visible(group.testee)} not run", "bold"),
        f"  {one_line(group.message or group.reason, 400)}",
    )


def closing(run: RunResults) -> Text:
    """Return the last lines: the counts in words and the time it took."""
    line = Text.assemble("\n", (counted(run.counts()), "bold"), f" in {format_duration(run.seconds)}")
    if run.seed:
        line.append(f"  (seed {visible(run.seed)})", "dim")
    if not run.is_complete:
        line.append("\nThe run was cut short: this is not all.", "bold yellow")
    return line


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2), expand=False)


def _cell(counts: Mapping[Verdict, int]) -> Text:
    return _spaced(
        Text(f"{STYLES[verdict].sign} {number}", STYLES[verdict].style) for verdict, number in counts.items()
    )


def _spaced(parts: Iterable[Text]) -> Text:
    return Text("  ").join(parts)
