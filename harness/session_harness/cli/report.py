"""``report``: show the result of an earlier run."""

from pathlib import Path

import click

from session_harness.cli.console import result_console
from session_harness.cli.options import json_option
from session_harness.cli.output import write_json, write_line

_runs_option = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of the run directories.",
)


@click.group("report")
def report() -> None:
    """Show the result of an earlier run."""


@report.command("summary")
@click.argument("run", default="latest")
@_runs_option
@click.option("--markdown", is_flag=True, help="Write Markdown, for the job page of a CI.")
@json_option
def show_summary(run: str, out: Path, *, markdown: bool, as_json: bool) -> None:
    """Show the table and the problems of RUN: its name, its path, or latest."""
    from session_harness.report.results import load_results
    from session_harness.runs import find_run

    directory = find_run(run, out)
    results = load_results(directory.stream)
    if as_json:
        from session_harness.report.summary import summary

        write_json(summary(results))
    elif markdown:
        from session_harness.report.markdown import markdown_summary

        write_line(markdown_summary(results).rstrip("\n"))
    else:
        from session_harness.report.table import print_run

        print_run(result_console(), results, report=str(directory.html) if directory.html.exists() else "")
