"""``list``: what is judged."""

import click

from session_harness.cli.console import result_console
from session_harness.cli.options import json_option
from session_harness.cli.output import write_json


@click.command("list")
@click.option("--area", help="Only requirements of this area.")
@json_option
def list_requirements(area: str | None, *, as_json: bool) -> None:
    """List the requirements, each with its source and the checks that prove it."""
    from session_harness.catalogue import requirements_with_checks
    from session_harness.errors import UsageError
    from session_harness.spelling import suggestion

    entries = requirements_with_checks()
    areas = sorted({entry["area"] for entry in entries})
    if area is not None:
        if area not in areas:
            raise UsageError(f"there is no area {area!r}", hint=suggestion(area, areas))
        entries = [entry for entry in entries if entry["area"] == area]
    if as_json:
        write_json({"requirements": entries})
        return
    from rich.padding import Padding
    from rich.text import Text

    console = result_console()
    for entry in entries:
        console.print(
            Text.assemble(
                (entry["id"], "bold"), f"  {entry['level']}  ", (f"{entry['area']}, {entry['source']}", "dim")
            )
        )
        console.print(Padding(Text(entry["text"]), (0, 0, 0, 2)))
        for check in entry["checks"] or ["no check yet"]:
            console.print(Padding(Text(check, "green" if entry["checks"] else "yellow"), (0, 0, 0, 4)))
    count = sum(len(entry["checks"]) for entry in entries)
    console.print(Text(f"\n{len(entries)} requirements, proven in {count} places", "dim"))
