"""``doctor``: whether this machine has what is needed."""

import click

from session_harness.cli.console import result_console
from session_harness.cli.options import json_option
from session_harness.cli.output import write_json
from session_harness.errors import ExitCode


@click.command("doctor")
@json_option
def doctor(*, as_json: bool) -> int:
    """Say whether this machine has what is needed, and what the optional parts would need."""
    from session_harness.diagnosis import Weight, examine

    findings = examine()
    bad = any(finding.weight is Weight.NEEDED and not finding.fine for finding in findings)
    if as_json:
        write_json({"ok": not bad, "findings": [finding.as_json() for finding in findings]})
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for finding in findings:
            sign, style = (
                ("✓", "green") if finding.fine else ("✗", "bold red") if finding.is_fatal else ("·", "yellow")
            )
            table.add_row(Text(sign, style), Text(finding.subject, "bold"), Text(finding.text))
        result_console().print(table)
    return ExitCode.ERRORED if bad else ExitCode.OK
