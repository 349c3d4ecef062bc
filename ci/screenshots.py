#!/usr/bin/env python3
"""Draw the final table of a run as a terminal would show it, as an SVG for the documentation.

Usage: python ci/screenshots.py [RUN] [SVG]     (default: runs/latest docs/conform.svg)
"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from session_harness.report.results import RunResults, load_results
from session_harness.report.table import print_run
from session_harness.runs import find_run

WIDTH = 100


def draw(run: RunResults, report: str) -> str:
    """Return the SVG of what ``conform`` shows at the end of a run."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    specs = " ".join(f"--testee {testee.spec}" for testee in run.testees)
    console.print(f"[dim]$[/] session-harness conform {specs}\n", soft_wrap=True)
    print_run(console, run, report=report)
    # A fixed id: the same run always gives the same file.
    picture = console.export_svg(title="session-harness conform", unique_id="conform")
    # Fonts come from the reader's system: a picture in a document fetches nothing.
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)


def main(arguments: list[str]) -> None:
    """Read the run that the arguments name and write the picture."""
    directory = find_run(arguments[0] if arguments else "latest")
    target = Path(arguments[1] if len(arguments) > 1 else "docs/conform.svg")
    target.write_text(draw(load_results(directory.stream), "runs/latest/report.html"), encoding="utf-8")
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
