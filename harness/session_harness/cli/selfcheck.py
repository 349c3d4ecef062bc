"""``selfcheck``: prove that the judge can fail."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from session_harness.cli.options import json_option, out_option
from session_harness.cli.output import note, write_json, write_line
from session_harness.errors import ExitCode

if TYPE_CHECKING:
    from session_harness.selfcheck import SelfcheckResult


@click.command("selfcheck")
@click.option("--fault", "faults", multiple=True, metavar="ID", help="Only this broken testee.  Repeatable.")
@click.option("--servers", is_flag=True, help="Broken servers instead of broken clients.")
@click.option("--seed", default="0", show_default=True, help="Seed of all random choices.")
@click.option(
    "--max-examples", type=click.IntRange(1), default=30, show_default=True, help="Examples of a property."
)
@out_option
@json_option
def selfcheck(
    faults: tuple[str, ...], seed: str, max_examples: int, out: Path, *, servers: bool, as_json: bool
) -> int:
    """Prove that every deliberately broken testee is caught, and that nothing of ours is accused.

    Exit code 1 when a fault is overlooked, the reference is accused, or a check has never been seen to fail.
    """
    from session_harness import selfcheck as proving
    from session_harness.cli.progress import shown_progress
    from session_harness.conform import conform

    options = proving.options_of_selfcheck(
        faults, seed=seed, max_examples=max_examples, out=out, servers=servers
    )
    with shown_progress() as progress:
        run = conform(options, watch=progress, say=note)
    known = proving.known_faults(servers=servers)
    chosen = [known[name] for name in known if name in faults] if faults else list(known.values())
    result = proving.weigh(run.results.records, chosen, whole=not faults)
    if as_json:
        write_json(result.as_json())
    else:
        _show(result)
        note(f"report: {run.directory.html}")
    if run.code is ExitCode.INTERRUPTED or run.code is ExitCode.TESTNET:
        for sentence in run.notes:
            note(sentence)
        return run.code
    return result.code if run.results.is_complete else max(result.code, ExitCode.ERRORED)


def _show(result: "SelfcheckResult") -> None:
    for missed in result.missed:
        caught = f"; others did: {', '.join(missed.caught_by[:3])}" if missed.caught_by else ""
        write_line(f"✗ {missed.fault} was not caught by {', '.join(missed.expected)}{caught}")
        write_line(f"    {missed.sentence}")
    for check in result.false_accusations:
        write_line(f"✗ {check} accuses what is not broken")
    for check in result.checks_without_fault:
        write_line(f"✗ {check} has never been seen to fail")
    sign = "✓" if result.code is ExitCode.OK else "✗"
    write_line(f"{sign} {result.caught} of {result.faults} broken testees caught")
