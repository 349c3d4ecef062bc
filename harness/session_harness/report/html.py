"""Write a run as one HTML page that opens offline, on a screen of any size."""

import functools
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from session_conformance.verdicts import CheckRecord, Verdict
from session_harness.durations import format_duration
from session_harness.report.results import PROBLEMS, RunResults, TesteeInfo, short_name
from session_harness.report.rules import rules_of
from session_harness.report.styles import STYLES, counted
from session_harness.report.text import shortened, visible

LONGEST_TEXT: Final = 20_000
_NOT_REPEATED: Final = frozenset({Verdict.UNSUPPORTED, Verdict.NOT_RUN})


def html_report(run: RunResults) -> str:
    """Return the page of a run."""
    return _template().render(
        run=run,
        styles=STYLES,
        headline=counted(run.counts()),
        duration=format_duration(run.seconds),
        problems=PROBLEMS,
        numbers={id(record): number for number, record in enumerate(run.records)},
        identity=id,
        testees=[_testee(run, testee) for testee in run.testees],
        suites=[_suite(run, suite) for suite in run.suites],
        safe_link=safe_link,
    )


@functools.cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("session_harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = lambda text: visible(shortened(str(text), LONGEST_TEXT))
    return environment.get_template("report.html.j2")


def safe_link(link: str) -> str:
    """Return a link that a reader may follow, empty for anything but plain web addresses."""
    return link if link.startswith(("https://", "http://")) else ""


def _testee(run: RunResults, info: TesteeInfo) -> dict[str, Any]:
    counts = run.counts(testee=info.name)
    total = sum(counts.values()) or 1
    shares = [(verdict, number, 100 * number / total) for verdict, number in counts.items()]
    return {"info": info, "shares": shares, "level": run.level_of(info.name)}


def _suite(run: RunResults, suite: str) -> dict[str, Any]:
    rows: dict[str, list[CheckRecord]] = {}
    for record in run.of(suite=suite):
        rows.setdefault(short_name(record), []).append(record)
    return {
        "name": suite,
        "tallies": [(testee.name, run.counts(suite=suite, testee=testee.name)) for testee in run.testees],
        "open": any(record.verdict in PROBLEMS for records in rows.values() for record in records),
        "rows": [_row(run, name, records) for name, records in rows.items()],
    }


def _row(run: RunResults, name: str, records: list[CheckRecord]) -> dict[str, Any]:
    cells = [[record for record in records if record.testee == testee.name] for testee in run.testees]
    ordered = [record for cell in cells for record in cell]
    return {
        "name": name,
        "sentence": records[0].sentence,
        "requirements": records[0].requirements,
        "rules": rules_of(records[0].requirements),
        "level": records[0].level,
        "cells": cells,
        "verdicts": " ".join(dict.fromkeys(record.verdict for record in records)),
        "explained": [
            (record, run.replay_line(record) if record.verdict not in _NOT_REPEATED else "")
            for record in ordered
            if record.verdict is not Verdict.PASSED and (_is_told(record) or record.verdict in PROBLEMS)
        ],
    }


def _is_told(record: CheckRecord) -> bool:
    return bool(record.message or record.expectation)
