"""``account``: make an account for the testnet, or show one."""

import click

from session_harness.cli.options import json_option
from session_harness.cli.output import write_json, write_line

_LABELS = {
    "account_id": "Account ID",
    "recovery_password": "recovery password",
    "ed25519_pk": "Ed25519 key",
    "x25519_pk": "X25519 key",
    "seed_hex": "seed",
}


@click.group("account")
def account() -> None:
    """Make an account, or show one."""


@account.command("new")
@click.option("--words-only", is_flag=True, help="Print nothing but the recovery password.")
@json_option
def new(*, words_only: bool, as_json: bool) -> None:
    """Make a new account and print its Account ID and recovery password."""
    from session_harness.by_hand import describe_account
    from session_protocol.accounts import Account

    _write(describe_account(Account.generate()), words_only=words_only, as_json=as_json)


@account.command("show")
@click.argument("account_words", metavar="WORDS|FILE")
@json_option
def show(account_words: str, *, as_json: bool) -> None:
    """Show the account of a recovery password: the quoted words, a file that holds them, or - for stdin."""
    from session_harness.by_hand import describe_account, read_account

    _write(describe_account(read_account(account_words)), words_only=False, as_json=as_json)


def _write(described: dict[str, str], *, words_only: bool, as_json: bool) -> None:
    if as_json:
        write_json(described)
    elif words_only:
        write_line(described["recovery_password"])
    else:
        for key, value in described.items():
            write_line(f"{_LABELS[key]:<18} {value}")
