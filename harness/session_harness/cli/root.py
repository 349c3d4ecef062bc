"""The top of the command line: its commands, the configuration file, and how errors are shown."""

import re
import sys
from typing import NoReturn

import click

from session_harness.cli.lazy import LazyGroup
from session_harness.errors import ExitCode, HarnessError

_CLI = "session_harness.cli"

PLACES = {
    "up": (f"{_CLI}.up:up", "Start a local testnet."),
    "status": (f"{_CLI}.network:status", "Show the running testnet."),
    "env": (f"{_CLI}.network:env", "Print the environment that points clients at the testnet."),
    "logs": (f"{_CLI}.network:logs", "Show what the services logged."),
    "down": (f"{_CLI}.network:down", "End the running testnet."),
    "node": (f"{_CLI}.node:node", "Stop, start, pause or resume a service node."),
    "snapshot": (f"{_CLI}.snapshot:snapshot", "Keep a whole testnet in one file, and go on from it."),
    "room": (f"{_CLI}.room:room", "Make rooms, moderators and bans of the community."),
    "clock": (f"{_CLI}.clock:clock", "Show or move the clock of the testnet."),
    "faults": (f"{_CLI}.faults:faults", "Make the testnet misbehave."),
    "trace": (f"{_CLI}.trace:trace", "Show what happened on the testnet."),
    "account": (f"{_CLI}.account:account", "Make an account, or show one."),
    "send": (f"{_CLI}.messages:send", "Send a text message over the testnet."),
    "watch": (f"{_CLI}.messages:watch", "Show the messages that arrive for an account."),
    "conform": (f"{_CLI}.conform:conform", "Judge implementations against the suites."),
    "conform-server": (
        f"{_CLI}.conform_server:conform_server",
        "Judge a service node, a file server or a community.",
    ),
    "smoke": (f"{_CLI}.smoke:smoke", "Call each minimal operation of a testee once."),
    "list": (f"{_CLI}.catalogue:list_requirements", "List requirements and the checks that prove them."),
    "replay": (f"{_CLI}.replay:replay", "Run one case of an earlier run again."),
    "report": (f"{_CLI}.report:report", "Show the result of an earlier run."),
    "selfcheck": (f"{_CLI}.selfcheck:selfcheck", "Prove that every deliberately broken testee is caught."),
    "export": (f"{_CLI}.export:export", "Write a testnet as a Compose file."),
    "cleanup": (f"{_CLI}.cleanup:cleanup", "Remove what testnets left behind."),
    "image": (f"{_CLI}.image:image", "Build the container image of the engine docker."),
    "doctor": (f"{_CLI}.doctor:doctor", "Say whether this machine has what is needed."),
}

SECTIONS = [
    (
        "Testnet",
        [
            *("up", "status", "env", "logs", "down", "node", "snapshot", "room", "clock", "faults", "trace"),
            "export",
        ],
    ),
    ("Try it by hand", ["account", "send", "watch"]),
    ("Conformance", ["conform", "conform-server", "smoke", "list", "replay", "report", "selfcheck"]),
    ("This machine", ["doctor", "cleanup", "image"]),
]

# How click ends a sentence about a name that it does not know.
_SUGGESTION = re.compile(r"\. \(?Did you mean (?:one of: )?(?P<names>.+)\?\)?$")

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(
    "session-harness",
    cls=LazyGroup,
    places=PLACES,
    sections=SECTIONS,
    context_settings=CONTEXT,
    help="A Session network in a box, and a judge for anything that speaks Session.",
    epilog="First steps:  session-harness conform --testee reference   ·   session-harness up",
)
@click.version_option(package_name="session-harness", prog_name="session-harness")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Read the configuration file, then run the command."""
    from session_harness.config import load_configuration

    configuration = load_configuration()
    if configuration is not None and isinstance(ctx.command, LazyGroup):
        ctx.obj = configuration.path
        name = ctx.invoked_subcommand
        known = ctx.command.list_commands(ctx)
        command = ctx.command.get_command(ctx, name) if name else None
        ctx.default_map = configuration.default_map(name, command, known)


def main() -> NoReturn:
    """Run the command line and end the process with one of :class:`ExitCode`."""
    try:
        sys.exit(run(sys.argv[1:]))
    finally:
        _close_quietly()


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors are shown on stderr."""
    try:
        result = cli.main(arguments, prog_name="session-harness", standalone_mode=False)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except (KeyboardInterrupt, click.Abort):
        show_error("interrupted")
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        return _show_usage(error)
    except HarnessError as error:
        show_error(error.message, error.hint)
        return error.exit_code
    except BrokenPipeError:
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001 - the last resort of the process: show it, never hide it
        return _show_unforeseen(error)
    return result if isinstance(result, int) else ExitCode.OK


def show_error(message: str, hint: str = "") -> None:
    """Write an error, and what can be done about it, as one line each on stderr."""
    print(f"error: {_one_line(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {_one_line(hint)}", file=sys.stderr)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _show_usage(error: click.ClickException) -> int:
    if (
        type(error).__name__ == "NoArgsIsHelpError"
    ):  # its message is the help of a group; only newer click has it
        print(error.format_message(), file=sys.stderr)
        return ExitCode.USAGE
    message, meant = error.format_message().rstrip("."), ""
    if found := _SUGGESTION.search(message):
        message, meant = message[: found.start()], f"did you mean {found['names']}?"
    message = message[:1].lower() + message[1:] if message[:2].istitle() else message
    show_error(message, meant or _usage_hint(error))
    return ExitCode.USAGE


def _usage_hint(error: click.ClickException) -> str:
    hint = getattr(error, "session_hint", "")
    if hint:
        return str(hint)
    context = getattr(error, "ctx", None)
    if context is None:
        return ""
    parameter = getattr(error, "param", None)
    if parameter is not None and parameter.name:
        source = context.get_parameter_source(parameter.name)
        if source is click.core.ParameterSource.DEFAULT_MAP and context.find_root().obj is not None:
            return f"the value comes from {context.find_root().obj}"
    return f"see: {context.command_path} --help"


def _show_unforeseen(error: Exception) -> int:
    import traceback

    hint = getattr(error, "hint", "")
    if isinstance(hint, str) and hasattr(error, "hint"):
        show_error(getattr(error, "message", str(error)), hint)
        return ExitCode.ERRORED
    traceback.print_exception(error)
    show_error(
        f"{type(error).__name__}: {error}",
        "this is a fault of session-harness: please report it with the lines above",
    )
    return ExitCode.ERRORED


def _close_quietly() -> None:
    """Flush stdout; a reader that has gone away is no error."""
    import os

    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
