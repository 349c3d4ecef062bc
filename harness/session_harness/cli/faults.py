"""``faults``: make the testnet misbehave, in a way that a seed repeats."""

import json
from pathlib import Path
from typing import Any

import click

from session_harness.cli.options import json_option, network_options, read_duration_ms
from session_harness.cli.output import write_json, write_line
from session_harness.errors import UsageError


@click.group("faults")
def faults() -> None:
    """Make the testnet misbehave."""


@faults.command("add")
@click.argument("action")
@click.option("--node", default="*", show_default=True, help="Node that misbehaves; * means all.")
@click.option(
    "--method", "methods", multiple=True, help="Only this storage method, like retrieve (repeatable)."
)
@click.option(
    "--status", "http_status", type=click.IntRange(100, 599), help="Status to answer (action status)."
)
@click.option("--times", type=click.IntRange(1), help="End after so many strokes.")
@click.option(
    "--delay", callback=read_duration_ms, metavar="DURATION", help="How long to wait (action delay)."
)
@click.option(
    "--offset", callback=read_duration_ms, metavar="DURATION", help="How far off (action clock_skew)."
)
@click.option("--seed", type=click.IntRange(0), help="Seed of the fault's own choices.")
@network_options
@json_option
def add(action: str, state: Path | None, name: str, *, as_json: bool, **given: Any) -> None:
    """Add a fault: ACTION is what goes wrong.

    One of status, delay, drop, hang, duplicate, reorder, corrupt, forge, foreign, truncate, wrong_swarm,
    clock_skew, crash_after_store, expired_certificate and stale_registry; or, beginning with {, a whole fault
    in JSON: that can be a partition, a fault of connections, or have paths and a probability.
    """
    from session_harness.running import running_network

    rule = _rule(action, given)
    with running_network(state, name) as network:
        fault_id = network.faults.add(rule)
    if as_json:
        write_json({"id": fault_id})
    else:
        write_line(fault_id)


@faults.command("schedule")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@network_options
@json_option
def schedule(file: Path, state: Path | None, name: str, *, as_json: bool) -> None:
    """Begin to carry out a schedule of faults from a TOML file; it goes on in the background."""
    from session_harness.running import running_network
    from session_testnet.faults.schedule import ScheduleError, load_schedule

    try:
        load_schedule(file)
    except ScheduleError as error:
        raise UsageError(error.message, hint=error.hint) from error
    with running_network(state, name) as network:
        steps = network.faults.schedule(file.read_text("utf-8"))
    if as_json:
        write_json({"steps": steps})
    else:
        write_line(f"begun: {steps} steps; see: session-harness trace --kind schedule")


@faults.command("list")
@network_options
@json_option
def list_faults(state: Path | None, name: str, *, as_json: bool) -> None:
    """List the faults, with what is left of them."""
    from session_harness.running import running_network

    with running_network(state, name) as network:
        rules = network.faults.list()
    if as_json:
        write_json({"faults": rules})
        return
    if not rules:
        write_line("no faults")
    for rule in rules:
        rest = {key: value for key, value in rule.items() if key not in ("id", "node", "action") and value}
        details = "  ".join(f"{key}={_plain(value)}" for key, value in rest.items())
        place = f" on {rule['node']}" if "node" in rule else ""
        write_line(f"{rule['id']}  {rule['action']}{place}  {details}".rstrip())


@faults.command("clear")
@click.argument("fault_id", metavar="ID", required=False)
@network_options
@json_option
def clear(fault_id: str | None, state: Path | None, name: str, *, as_json: bool) -> None:
    """Remove one fault, or all."""
    from session_harness.running import running_network

    with running_network(state, name) as network:
        known = [str(rule["id"]) for rule in network.faults.list()]
        if fault_id is not None and fault_id not in known:
            raise UsageError(f"there is no fault {fault_id!r}", hint="see: session-harness faults list")
        network.faults.clear(fault_id)
    cleared = known if fault_id is None else [fault_id]
    if as_json:
        write_json({"cleared": cleared})
    else:
        write_line(f"cleared {', '.join(cleared)}" if cleared else "there were no faults")


def _rule(action: str, given: dict[str, Any]) -> dict[str, Any]:
    if action.lstrip().startswith("{"):
        try:
            rule = json.loads(action)
        except ValueError as error:
            raise UsageError(
                f"the rule is not JSON: {error}", hint='for example {"action": "drop"}'
            ) from error
        assert isinstance(rule, dict)
        return rule
    values = {
        "action": action,
        "node": given["node"],
        "methods": list(given["methods"]) or None,
        "status": given["http_status"],
        "times": given["times"],
        "delay_ms": given["delay"],
        "offset_ms": given["offset"],
        "seed": given["seed"],
    }
    return {key: value for key, value in values.items() if value is not None}


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return (" | " if any(isinstance(item, list) for item in value) else ",").join(map(_plain, value))
    return str(value)
