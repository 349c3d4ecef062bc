"""``smoke``: a first sign of life of a testee."""

import click

from session_harness.cli.console import result_console
from session_harness.cli.options import json_option
from session_harness.cli.output import note, write_json
from session_harness.errors import ExitCode

_SIGNS = {
    "ok": ("✓", "green"),
    "wrong": ("✗", "bold red"),
    "unsupported": ("-", "dim"),
    "errored": ("⚠", "bold red"),
}
_MEANINGS = {"wrong": ExitCode.FAILED, "errored": ExitCode.ERRORED}


@click.command("smoke")
@click.option("--testee", required=True, metavar="SPEC", help="What to call: as for conform.")
@json_option
def smoke(testee: str, *, as_json: bool) -> int:
    """Call each minimal operation of a testee once and show what it answers.

    For authors of adapters: quick, readable, every message compared with the schemas. To judge: see conform.
    """
    from session_harness import smoke as calls
    from session_harness.report.text import one_line

    with calls.open_for_smoke(testee, say=note) as opened:
        hello = calls.greet(opened)
        console = result_console()
        if not as_json:
            declared = f"{len(hello.operations)} operations declared"
            title = f"{hello.name} {hello.version} ({hello.language}), {declared}"
            console.print(one_line(title), markup=False, style="bold")
        found = []
        for answer in calls.answers(opened):
            found.append(answer)
            if not as_json:
                sign, style = _SIGNS[answer.outcome]
                console.print(f"[{style}]{sign}[/] {answer.op:<20}", end=" ")
                console.print(one_line(answer.text, 300 if answer.outcome != "ok" else 80), markup=False)
    outcomes = [answer.outcome for answer in found]
    if as_json:
        calls_made = [{"op": answer.op, "outcome": answer.outcome, "text": answer.text} for answer in found]
        write_json({"testee": hello.name, "version": hello.version, "calls": calls_made})
    codes = [_MEANINGS[outcome] for outcome in outcomes if outcome in _MEANINGS]
    if not codes and "ok" not in outcomes:
        return ExitCode.ERRORED
    return min(codes, default=ExitCode.OK)
