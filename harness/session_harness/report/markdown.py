"""Write a run as Markdown: a summary for the job page of a CI."""

import html
import re
from collections.abc import Mapping
from typing import Final

from session_conformance.verdicts import CheckRecord, Verdict
from session_harness.durations import format_duration
from session_harness.report.results import RunResults, short_name, suite_of
from session_harness.report.styles import STYLES, counted
from session_harness.report.text import one_line, shortened, visible

MOST_PROBLEMS: Final = 50  # a job page takes one megabyte
LONGEST_TEXT: Final = 4000
_MARKS: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|~@:$^=])")
_EMOJI: Final = {
    Verdict.PASSED: "✅",
    Verdict.FAILED: "❌",
    Verdict.WARNED: "⚠️",
    Verdict.EXPECTED_FAILURE: "🟦",
    Verdict.STALE: "🟪",
    Verdict.FLAKY: "🟧",
    Verdict.UNSUPPORTED: "⬜",
    Verdict.ERRORED: "💥",
    Verdict.NOT_RUN: "⚪",
}


def markdown_summary(run: RunResults) -> str:
    """Return the summary of a run: a table of suites and testees, then each problem with its replay line."""
    lines = [f"## Session conformance: {_headline(run)}", ""]
    facts = [
        f"run {_code(run.run)}",
        f"seed {_code(run.seed)}" if run.seed else "",
        format_duration(run.seconds),
    ]
    lines += [" · ".join(fact for fact in facts if fact), ""]
    if not run.is_complete:
        lines += ["**The run was cut short: what follows is incomplete.**", ""]
    lines += _table(run)
    if run.problems:
        lines += ["", "### What needs attention", ""]
        for record in run.problems[:MOST_PROBLEMS]:
            lines += _problem(run, record)
        if len(run.problems) > MOST_PROBLEMS:
            lines.append(f"… and {len(run.problems) - MOST_PROBLEMS} more: see report.html")
    for group in run.prevented:
        why = escape(one_line(group.message or group.reason))
        lines += ["", f"⚪ {group.count} checks of {escape(group.testee)} were not run: {why}"]
    return "\n".join(lines) + "\n"


def _headline(run: RunResults) -> str:
    return escape(counted(run.counts()))


def _table(run: RunResults) -> list[str]:
    if not run.testees:
        return []
    heads = [escape(testee.title) for testee in run.testees]
    lines = ["| suite | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    for suite in run.suites:
        cells = [_cell(run.counts(suite=suite, testee=testee.name)) for testee in run.testees]
        lines.append(f"| {escape(suite)} | " + " | ".join(cells) + " |")
    totals = [_cell(run.counts(testee=testee.name)) for testee in run.testees]
    lines.append("| **all** | " + " | ".join(totals) + " |")
    return lines


def _cell(counts: Mapping[Verdict, int]) -> str:
    return " ".join(f"{_EMOJI[verdict]} {number}" for verdict, number in counts.items()) or " "


def _problem(run: RunResults, record: CheckRecord) -> list[str]:
    title = f"{STYLES[record.verdict].word}: {suite_of(record)}.{short_name(record)} · {record.testee}"
    lines = [f"<details><summary>{_EMOJI[record.verdict]} {_html(title)}</summary>", ""]
    if record.sentence:
        lines += [escape(one_line(record.sentence, 300)), ""]
    if record.message:
        lines += [*_fenced(record.message), ""]
    replay = run.replay_line(record)
    if replay:
        lines += ["Repeat it:", "", *_fenced(replay), ""]
    return [*lines, "</details>", ""]


def escape(text: str) -> str:
    """Return text on one line in which nothing means anything to Markdown or HTML."""
    return _MARKS.sub(r"\\\1", _html(text))


def _html(text: str) -> str:
    return html.escape(visible(text).replace("\n", " ").replace("\t", " "), quote=False)


def _code(text: str) -> str:
    return f"`{visible(text).replace('`', '')}`"


def _fenced(text: str) -> list[str]:
    body = shortened(visible(text), LONGEST_TEXT)
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *body.split("\n"), fence]
