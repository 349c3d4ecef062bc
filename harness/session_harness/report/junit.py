"""Write a run as JUnit XML, one test suite for each suite and testee.

A failed, stale or flaky check is a failure, an errored one an error; unsupported, not run and expected
failures are skipped, with their verdict as type; a warned check passes, its message is in system-out. The
properties of a test case carry the verdict, the requirements and the command that repeats it.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import Final

from session_conformance.verdicts import CheckRecord, Verdict
from session_harness.report.results import RunResults, short_name, suite_of
from session_harness.report.text import one_line, visible

ELEMENTS: Final = {
    Verdict.FAILED: "failure",
    Verdict.STALE: "failure",
    Verdict.FLAKY: "failure",
    Verdict.ERRORED: "error",
    Verdict.UNSUPPORTED: "skipped",
    Verdict.NOT_RUN: "skipped",
    Verdict.EXPECTED_FAILURE: "skipped",
}


def junit_xml(run: RunResults) -> str:
    """Return the JUnit document of a run."""
    root = ET.Element("testsuites", {"name": visible(f"session-harness {run.run}"), **_numbers(run.records)})
    for testee in run.testees:
        for suite in run.suites:
            records = run.of(suite=suite, testee=testee.name)
            if records:
                _suite(root, run, testee.name, suite, records)
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, run: RunResults, testee: str, suite: str, records: list[CheckRecord]) -> None:
    attributes = {"name": visible(f"{testee}.{suite}"), **_numbers(records)}
    if run.started is not None:
        attributes["timestamp"] = run.started.strftime("%Y-%m-%dT%H:%M:%S")
    element = ET.SubElement(root, "testsuite", attributes)
    _properties(element, {"testee": testee, "seed": run.seed, "engine": run.engine})
    for record in records:
        _case(element, run, record)


def _case(parent: ET.Element, run: RunResults, record: CheckRecord) -> None:
    attributes = {
        "name": visible(short_name(record)),
        "classname": visible(f"{record.testee}.{suite_of(record)}"),
        "time": f"{record.seconds:.3f}",
    }
    case = ET.SubElement(parent, "testcase", attributes)
    _properties(
        case,
        {
            "verdict": record.verdict,
            "requirements": " ".join(record.requirements),
            "level": record.level,
            "replay": run.replay_line(record) if record.verdict is not Verdict.PASSED else "",
        },
    )
    told = (
        [record.expectation, record.message]
        if record.verdict is Verdict.EXPECTED_FAILURE
        else [record.message]
    )
    explanation = "\n\n".join(part for part in (*told, record.link) if part)
    element = ELEMENTS.get(record.verdict)
    if element is not None:
        message = next(filter(None, told), "") or record.reason
        outcome = ET.SubElement(case, element, {"type": record.verdict, "message": one_line(message, 400)})
        outcome.text = visible(explanation)
    elif record.verdict is Verdict.WARNED:
        ET.SubElement(case, "system-out").text = visible(f"warning: {explanation}")


def _properties(parent: ET.Element, values: dict[str, str]) -> None:
    present = {name: value for name, value in values.items() if value}
    if present:
        element = ET.SubElement(parent, "properties")
        for name, value in present.items():
            ET.SubElement(element, "property", {"name": name, "value": visible(value)})


def _numbers(records: Iterable[CheckRecord]) -> dict[str, str]:
    found = list(records)
    kinds = [ELEMENTS.get(record.verdict) for record in found]
    return {
        "tests": str(len(found)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
        "time": f"{sum(record.seconds for record in found):.3f}",
    }
