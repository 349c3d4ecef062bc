"""``image``: the container image that nodes and whole testnets run in."""

import click

from session_harness.cli.options import json_option
from session_harness.cli.output import note, write_json, write_line


@click.group("image")
def image() -> None:
    """Build the container image that the engines docker and docker-swarm run nodes in."""


@image.command("build")
@click.option(
    "--base",
    default="python:3.12-slim",
    show_default=True,
    metavar="IMAGE",
    help="Image with Python 3.11 or newer.",
)
@click.option("--tag", metavar="NAME", help="Name of the image.  [default: session-harness:VERSION]")
@json_option
def build(base: str, tag: str | None, *, as_json: bool) -> None:
    """Build the image from the session-harness that runs, and from wheels that fit the base image."""
    from session_harness.errors import HarnessError
    from session_testnet.docker_daemon import DockerError
    from session_testnet.images.build import build_image

    try:
        built = build_image(base, tag, progress=note)
    except DockerError as error:
        raise HarnessError(error.message, hint=error.hint) from error
    if as_json:
        write_json({"tag": built.tag, "id": built.id, "size": built.size, "base": built.base})
    else:
        write_line(f"built {built.tag} on {built.base}: {built.size / 1e6:.0f} MB")
