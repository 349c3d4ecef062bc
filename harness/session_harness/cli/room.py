"""``room``: rooms of the community server, who moderates them and who is banned."""

from pathlib import Path
from typing import Any

import click

from session_harness.cli.console import result_console
from session_harness.cli.options import json_option, network_options, read_duration_ms
from session_harness.cli.output import write_json, write_line
from session_harness.errors import UsageError


@click.group("room")
def room() -> None:
    """Make and delete rooms of the community; say who moderates and who is banned."""


@room.command("create")
@click.argument("token")
@click.option("--title", help="What people see.  [default: the token]")
@click.option("--description", help="What the room is about.")
@network_options
@json_option
def create(
    token: str, title: str | None, description: str | None, state: Path | None, name: str, *, as_json: bool
) -> None:
    """Make a room: TOKEN is its name in links, 1 to 64 letters, digits, hyphens or underscores."""
    from session_harness.running import running_network

    with running_network(state, name) as network:
        made = network.rooms.create(token, title=title, description=description)
    _tell(made, made["join_url"], as_json=as_json)


@room.command("list")
@network_options
@json_option
def list_rooms(state: Path | None, name: str, *, as_json: bool) -> None:
    """List the rooms, each with its link, its size and its moderators."""
    from session_harness.running import running_network

    with running_network(state, name) as network:
        rooms = network.rooms.list()
    if as_json:
        write_json({"rooms": rooms})
        return
    from rich.text import Text

    console = result_console()
    for each in rooms:
        counts = f"{each['message_sequence']} changes, {each['active_users']} active"
        console.print(Text.assemble((each["token"], "bold"), f"  {each['name']}  ", (counts, "dim")))
        console.print(Text(f"  {each['join_url']}"), soft_wrap=True)
        for role in ("admins", "moderators", "hidden_admins", "hidden_moderators"):
            for user_id in each[role]:
                console.print(Text(f"  {role.replace('_', ' ').removesuffix('s'):<16} {user_id}"))


@room.command("delete")
@click.argument("token")
@network_options
@json_option
def delete(token: str, state: Path | None, name: str, *, as_json: bool) -> None:
    """Delete a room with its messages and files."""
    from session_harness.running import running_network

    with running_network(state, name) as network:
        network.rooms.delete(token)
    _tell({"token": token, "deleted": True}, f"{token} is deleted", as_json=as_json)


@room.command("promote")
@click.argument("user_id", metavar="ID")
@click.option("--admin", "role", flag_value="admin", help="Make an admin.")
@click.option("--moderator", "role", flag_value="moderator", help="Make a moderator, also of an admin.")
@click.option("--remove", "role", flag_value="none", help="Take every role away.")
@click.option("--room", "token", metavar="TOKEN", help="In this room.")
@click.option("--global", "everywhere", is_flag=True, help="In the whole community.")
@click.option(
    "--visible/--hidden", default=None, help="Show everybody.  [default: visible in a room, else hidden]"
)
@network_options
@json_option
def promote(
    user_id: str,
    role: str | None,
    token: str | None,
    visible: bool | None,
    state: Path | None,
    name: str,
    *,
    everywhere: bool,
    as_json: bool,
) -> None:
    """Make somebody a moderator or an admin, or neither: ID is an Account ID or a blinded id.

    Where the community requires blinding, what an Account ID gets waits for its blinded id.
    """
    from session_harness.running import running_network

    if role is None:
        raise UsageError("promote to what?", hint="choose --admin, --moderator or --remove")
    if everywhere == (token is not None):
        raise UsageError("promote where?", hint="choose --room TOKEN or --global")
    with running_network(state, name) as network:
        done = network.rooms.promote(user_id, role, room=token, visible=visible)
    what = "no moderator any more" if role == "none" else f"{'an' if role == 'admin' else 'a'} {role}"
    _tell(done, f"{done['id']} is {what} of {_place(token)}", as_json=as_json)


@room.command("ban")
@click.argument("user_id", metavar="ID")
@click.option("--room", "token", metavar="TOKEN", help="From this room, not from the whole community.")
@click.option("--timeout", callback=read_duration_ms, metavar="DURATION", help="End by itself, like 30m.")
@click.option("--unban", is_flag=True, help="End a ban.")
@network_options
@json_option
def ban(
    user_id: str,
    token: str | None,
    timeout: int | None,
    state: Path | None,
    name: str,
    *,
    unban: bool,
    as_json: bool,
) -> None:
    """Ban somebody, or end a ban: ID is an Account ID or a blinded id."""
    from session_harness.running import running_network

    if unban and timeout is not None:
        raise UsageError("--timeout does not go with --unban", hint="leave one of them out")
    if timeout is not None and timeout <= 0:
        raise UsageError("--timeout must be longer than nothing", hint="write a time like 30m")
    with running_network(state, name) as network:
        if unban:
            done = network.rooms.unban(user_id, room=token)
        else:
            done = network.rooms.ban(user_id, room=token, timeout_ms=timeout or 0)
    verb = "may come back to" if unban else "is banned from"
    _tell(done, f"{done['id']} {verb} {_place(token)}", as_json=as_json)


def _place(token: str | None) -> str:
    return "the whole community" if token is None else token


def _tell(value: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        write_json(value)
    else:
        write_line(sentence)
