"""The result of a run as one JSON object: what ``conform --json`` and ``report summary --json`` print."""

from typing import Any

from session_harness.report.results import RunResults


def summary(run: RunResults, *, exit_code: int | None = None) -> dict[str, Any]:
    """Return run, seed, engine and the counts of each testee; the exit code where it is known."""
    found: dict[str, Any] = {
        "run": run.run,
        "seed": run.seed,
        "engine": run.engine,
        "complete": run.is_complete,
        "seconds": round(run.seconds, 3),
        "testees": [
            {
                "name": testee.name,
                "version": testee.version,
                "level": run.level_of(testee.name),
                "counts": run.counts(testee=testee.name),
            }
            for testee in run.testees
        ],
        "problems": [
            {
                "check": record.check,
                "testee": record.testee,
                "verdict": record.verdict,
                "message": record.message,
                "replay": run.replay_line(record),
            }
            for record in run.problems
        ],
    }
    if exit_code is not None:
        found["exit"] = exit_code
    return found
