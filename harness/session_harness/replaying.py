"""Find out how one case of an earlier run is run again."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from session_harness.errors import RunNotFound, UsageError
from session_harness.runs import RunDirectory, find_run
from session_harness.spelling import suggestion

if TYPE_CHECKING:
    from session_harness.conform import ConformOptions


def options_of_case(text: str, root: Path) -> "ConformOptions":
    """Return the options that repeat just one case, given as ``RUN/CASE`` or as the path of its folder.

    Raise UsageError when the run or the case is not there.
    """
    from session_harness.conform import options_of
    from session_harness.report.results import case_of, load_results

    directory, name = _split(text, root)
    results = load_results(directory.stream)
    by_case = {case_of(record): record for record in results.records if record.case}
    record = by_case.get(name)
    if record is None:
        raise RunNotFound(
            f"the run {directory.id} has no case {name!r}",
            hint=suggestion(name, by_case) if by_case else "everything passed there: nothing was kept",
        )
    specs = {testee.name: testee.spec for testee in results.testees}
    spec = specs.get(record.testee)
    if not spec:
        raise RunNotFound(
            f"the run {directory.id} does not say what {record.testee!r} was", hint="run it anew"
        )
    recorded = options_of(directory.read_inputs())
    return replace(
        recorded,
        testees=(spec,),
        suites=(),
        filters=(record.check,),
        skips=(),
        out=root,
        fail_fast=False,
        max_failures=None,
        require=None,
        expectations=_without_others(recorded.expectations, record.testee),
    )


def _split(text: str, root: Path) -> tuple[RunDirectory, str]:
    run, slash, name = text.rstrip("/").rpartition("/")
    run = run.removesuffix("/cases")
    if not slash or not name or not run:
        raise UsageError(
            f"{text!r} is not RUN/CASE", hint="take it from the report, like latest/onion.peels--reference"
        )
    return find_run(run, root), name


def _without_others(expectations: tuple[str, ...], testee: str) -> tuple[str, ...]:
    """Leave out the files of other testees: naming one that does not take part is refused."""
    return tuple(text for text in expectations if "=" not in text or text.partition("=")[0] == testee)
