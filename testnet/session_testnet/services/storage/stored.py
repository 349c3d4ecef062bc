"""What a node's database is made of, and the messages in it (storage-rpc §13)."""

from dataclasses import dataclass
from typing import Final

from session_testnet.services.sqlite_file import DatabaseForm
from session_testnet.services.storage.lives import LIVES_SCHEMA
from session_testnet.services.storage.removals import REMOVALS_SCHEMA
from session_testnet.services.storage.revocations import REVOCATIONS_SCHEMA
from session_testnet.services.storage.undelivered import UNDELIVERED_SCHEMA

# ``id`` is a plain row number: it gives the order of retrieval. An owner lives as long as it has messages,
# and its revocations as long as it does. Every change carries a stamp, the same on all members of the swarm
# (see MessageDatabase): ``stored`` is that of the last store, ``shortened`` that of the last change that took
# time away (0: none has), ``changed`` that of any.
MESSAGES_FORM: Final = DatabaseForm(
    owner="storage node",
    application_id=0x53484E31,
    version=3,
    schema=REMOVALS_SCHEMA  # noqa: S608 - statements that make tables, without values
    + UNDELIVERED_SCHEMA
    + LIVES_SCHEMA
    + REVOCATIONS_SCHEMA
    + """
    CREATE TABLE owners(
        id INTEGER PRIMARY KEY,
        type INTEGER NOT NULL,
        pubkey BLOB NOT NULL,
        UNIQUE(pubkey, type)
    );
    CREATE TABLE messages(
        id INTEGER PRIMARY KEY,
        hash TEXT NOT NULL UNIQUE,
        owner INTEGER NOT NULL REFERENCES owners(id),
        namespace INTEGER NOT NULL,
        timestamp INTEGER NOT NULL,
        expiry INTEGER NOT NULL,
        data BLOB NOT NULL,
        stored INTEGER NOT NULL,
        shortened INTEGER NOT NULL,
        changed INTEGER NOT NULL
    );
    CREATE INDEX messages_of_owner ON messages(owner, namespace);
    CREATE INDEX messages_by_expiry ON messages(expiry);
    CREATE TRIGGER message_deleted AFTER DELETE ON messages
        BEGIN
            DELETE FROM life_changes WHERE hash = OLD.hash AND kind = 0;
            UPDATE life_changes SET unseen = 1 WHERE hash = OLD.hash;
        END;
    CREATE TRIGGER last_message_deleted AFTER DELETE ON messages
        WHEN NOT EXISTS (SELECT 1 FROM messages WHERE owner = OLD.owner)
        BEGIN DELETE FROM owners WHERE id = OLD.owner; END;
    """,
)


class DatabaseFull(Exception):
    """Say that a message was not stored because the database is at its limit, or cannot be written."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as a node holds it; ``account`` has 33 bytes, times are in milliseconds."""

    account: bytes
    hash: str
    namespace: int
    timestamp: int
    expiry: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What became of a message: whether it was there ``already``, and when what is kept now expires."""

    already: bool
    expiry: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of messages, and whether more would have followed."""

    messages: list[tuple[str, int, int, bytes]]
    more: bool
