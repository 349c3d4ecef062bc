"""``export``: write a testnet down for other tools."""

from pathlib import Path

import click

from session_harness.cli.options import DEFAULT_NAME, json_option, read_name


@click.command("export")
@click.option(
    "--format", "form", type=click.Choice(["compose"]), required=True, help="What to write: a Compose file."
)
@click.option("--nodes", type=click.IntRange(1, 1000), help="Number of service nodes.")
@click.option(
    "--topology",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Description of the network (TOML); it is copied into the file.",
)
@click.option("--profile", default=None, help="Kind of network: default, apps or libraries.")
@click.option(
    "--name", default=DEFAULT_NAME, show_default=True, callback=read_name, help="Name of the testnet."
)
@click.option("--seed", default=None, help="All keys derive from it.  [default: 0]")
@click.option("--image", metavar="IMAGE", help="Image to run.  [default: session-harness:VERSION]")
@json_option
def export(
    *,
    form: str,
    nodes: int | None,
    topology: Path | None,
    profile: str | None,
    name: str,
    seed: str | None,
    image: str | None,
    as_json: bool,
) -> None:
    """Write a testnet as a Compose file to stdout: one service that your own services find beside them."""
    del form  # there is one so far
    from session_harness.cli.output import write_json, write_line
    from session_harness.composing import compose_file
    from session_harness.serving import ServeOptions

    options = ServeOptions(name, nodes=nodes, topology=topology, profile=profile, seed=seed)
    written = compose_file(options, image)
    if as_json:
        write_json({"compose": written})
    else:
        write_line(written.rstrip("\n"))
