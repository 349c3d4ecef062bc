"""``session-harness conform-server``: judge service nodes, file servers and communities."""

from typing import Any

import click

from session_harness.cli.options import (
    ending_options,
    json_option,
    out_option,
    run_seed_option,
    selection_options,
)
from session_harness.errors import UsageError

# The same as the constant of the judge, which is not imported for a help page.
TOKEN_VARIABLE = "SESSION_HARNESS_CONTROL_TOKEN"  # noqa: S105  # a name


@click.command("conform-server")
@click.option(
    "--storage",
    "nodes",
    multiple=True,
    metavar="URL",
    help="A service node, https://HOST:PORT; the first one is judged, further ones are asked for comparison. "
    "Repeatable.",
)
@click.option("--registry", default="", metavar="URL", help="The registry that lists the nodes.")
@click.option("--community", default="", metavar="URL", help="A community server, http://HOST:PORT.")
@click.option("--files", default="", metavar="URL", help="A file server, http://HOST:PORT.")
@click.option(
    "--public-key", default="", metavar="HEX", help="The X25519 key of the community or file server."
)
@click.option(
    "--control-token",
    default="",
    metavar="T",
    envvar=TOKEN_VARIABLE,
    show_envvar=True,
    help="Token of a community in test mode; it is kept in no report.",
)
@selection_options
@click.option("--expectations", multiple=True, metavar="FILE", help="Known divergences.  Repeatable.")
@run_seed_option
@click.option(
    "--max-examples", type=click.IntRange(1), default=30, show_default=True, help="Examples of a property."
)
@out_option
@ending_options
@json_option
def conform_server(
    *,
    nodes: tuple[str, ...],
    registry: str,
    community: str,
    files: str,
    public_key: str,
    control_token: str,
    as_json: bool,
    **values: Any,
) -> int:
    """Judge a server that anybody runs, from outside, over HTTP and in onion requests.

    It is asked as any client may ask: with new accounts, which leave messages and files behind. What cannot
    be judged without a key, a registry or the control endpoint is unsupported.

    Exit code: as that of conform.
    """
    from session_harness.cli.conform import judge
    from session_harness.conform import ConformOptions

    testee = _testee(nodes, registry, community, files, public_key)
    source = click.get_current_context().get_parameter_source("control_token")
    if control_token and not community and source is click.core.ParameterSource.COMMANDLINE:
        raise UsageError("--control-token goes with --community", hint="leave it out")
    # The suites run in a child: as a variable, the token is in no command line and in no record.
    secrets = {TOKEN_VARIABLE: control_token} if control_token and community else {}
    return judge(ConformOptions(testees=(testee,), **values), as_json=as_json, secrets=secrets)


def _testee(nodes: tuple[str, ...], registry: str, community: str, files: str, public_key: str) -> str:
    """Return the server as the text that describes a testee; raise UsageError unless one kind is named."""
    named = [
        kind for kind, given in (("storage", nodes), ("community", community), ("files", files)) if given
    ]
    if len(named) != 1:
        raise UsageError(
            "there is no server to judge"
            if not named
            else f"one run judges one kind of server, not {len(named)}",
            hint="name one with --storage URL, --community URL or --files URL",
        )
    if registry and not nodes:
        raise UsageError("--registry goes with --storage", hint="leave it out")
    if public_key and nodes:
        raise UsageError(
            "--public-key goes with --community and --files", hint="nodes name their keys themselves"
        )
    if nodes:
        return f"storage:{','.join(nodes)}" + (f";registry={registry}" if registry else "")
    key = f";public-key={public_key}" if public_key else ""
    return f"{named[0]}:{community or files}{key}"
