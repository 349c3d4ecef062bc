"""``replay``: run one case of an earlier run again, with everything as it was."""

from pathlib import Path

import click

from session_harness.cli.options import json_option, out_option


@click.command("replay")
@click.argument("case", metavar="RUN/CASE")
@out_option
@json_option
def replay(case: str, out: Path, *, as_json: bool) -> int:
    """Run one case of an earlier run again: same testee, seed, network and number of examples.

    CASE is the name of a folder below cases/ of the RUN.
    """
    from session_harness.cli.conform import judge
    from session_harness.replaying import options_of_case

    return judge(options_of_case(case, out), as_json=as_json)
