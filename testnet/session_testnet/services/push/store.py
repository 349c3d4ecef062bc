"""Who wants to be notified: one subscription for each device of an account, kept over restarts."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from session_protocol.storage_auth import Subaccount
from session_testnet.services.push.requests import LIFE_S, Device, Subscription
from session_testnet.services.sqlite_file import DatabaseForm, open_database

_FORM: Final = DatabaseForm(
    owner="session-harness push server",
    application_id=0x53485053,
    version=1,
    schema="""
    CREATE TABLE subscriptions (
        account BLOB NOT NULL,
        service TEXT NOT NULL,
        token TEXT NOT NULL,
        service_info BLOB NOT NULL,
        key BLOB NOT NULL,
        subaccount BLOB,
        subaccount_signature BLOB,
        namespaces BLOB NOT NULL,
        with_data INTEGER NOT NULL,
        signature BLOB NOT NULL,
        timestamp_s INTEGER NOT NULL,
        enc_key BLOB NOT NULL,
        PRIMARY KEY (account, service, token)
    ) WITHOUT ROWID;
    CREATE INDEX subscriptions_by_age ON subscriptions(timestamp_s);
    """,
)
_KNOWN: Final = "SELECT 1 FROM subscriptions WHERE account = ? AND service = ? AND token = ?"
_REMOVE: Final = "DELETE FROM subscriptions WHERE account = ? AND service = ? AND token = ?"


class SubscriptionStore:
    """Keep subscriptions until they end; the time comes with each call: a moved clock counts at once."""

    def __init__(self, directory: Path | None) -> None:
        """Open the store below ``directory``, or in memory; DatabaseRefused for a foreign or damaged one."""
        self._database = open_database(directory / "push.sqlite" if directory else None, _FORM)

    def put(self, subscription: Subscription) -> bool:
        """Keep a subscription in place of an earlier one of the device; tell whether there was none."""
        device, subaccount = subscription.device, subscription.subaccount
        known = self._database.execute(_KNOWN, _key(device)).fetchone()
        self._database.execute(
            "INSERT OR REPLACE INTO subscriptions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *_key(device),
                orjson.dumps(device.service_info),
                subscription.key,
                subaccount and subaccount.token,
                subaccount and subaccount.owner_signature,
                orjson.dumps(subscription.namespaces),
                subscription.with_data,
                subscription.signature,
                subscription.timestamp_s,
                subscription.enc_key,
            ),
        )
        return known is None

    def remove(self, device: Device) -> bool:
        """Forget the subscription of a device; tell whether there was one."""
        done = self._database.execute(_REMOVE, _key(device))
        return done.rowcount > 0

    def of_account(self, account: bytes, *, now_s: int) -> list[Subscription]:
        """Return the subscriptions of a 33-byte account that have not ended."""
        return list(self._select("account = ? AND timestamp_s > ?", (account, now_s - LIFE_S)))

    def all(self, *, now_s: int) -> list[Subscription]:
        """Return all subscriptions that have not ended."""
        return list(self._select("timestamp_s > ?", (now_s - LIFE_S,)))

    def accounts(self, *, now_s: int) -> list[bytes]:
        """Return the accounts with a subscription that has not ended."""
        rows = self._database.execute(
            "SELECT DISTINCT account FROM subscriptions WHERE timestamp_s > ?", (now_s - LIFE_S,)
        )
        return [account for (account,) in rows]

    def purge(self, *, now_s: int) -> int:
        """Delete what has ended and return how many subscriptions that were."""
        done = self._database.execute("DELETE FROM subscriptions WHERE timestamp_s <= ?", (now_s - LIFE_S,))
        return done.rowcount

    def close(self) -> None:
        """Close the database; safe to call twice."""
        self._database.close()

    def _select(self, condition: str, parameters: tuple[object, ...]) -> Iterator[Subscription]:
        rows = self._database.execute(
            f"SELECT * FROM subscriptions WHERE {condition} ORDER BY account, service, token",  # noqa: S608
            parameters,
        )
        return map(_subscription, rows)


def _key(device: Device) -> tuple[bytes, str, str]:
    return device.account, device.service, device.token


def _subscription(row: sqlite3.Row) -> Subscription:
    token = row["subaccount"]
    return Subscription(
        Device(row["account"], row["service"], row["token"], orjson.loads(row["service_info"])),
        row["key"],
        None if token is None else Subaccount(token, row["subaccount_signature"]),
        namespaces=tuple(orjson.loads(row["namespaces"])),
        with_data=bool(row["with_data"]),
        signature=row["signature"],
        timestamp_s=row["timestamp_s"],
        enc_key=row["enc_key"],
    )
