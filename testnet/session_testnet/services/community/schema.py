"""The tables of the community server (open-group-server §20); all times in milliseconds since 1970."""

from typing import Final

from session_testnet.services.sqlite_file import DatabaseForm

FORM: Final = DatabaseForm(
    owner="session-harness community server",
    application_id=0x53484353,
    version=2,
    schema="""
    CREATE TABLE users (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id TEXT NOT NULL UNIQUE,
        created_ms INTEGER NOT NULL,
        last_active_ms INTEGER NOT NULL,
        banned INTEGER NOT NULL DEFAULT 0,
        moderator INTEGER NOT NULL DEFAULT 0,
        admin INTEGER NOT NULL DEFAULT 0,
        visible_mod INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE rooms (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        token TEXT NOT NULL UNIQUE COLLATE NOCASE,
        name TEXT NOT NULL,
        description TEXT,
        created_ms INTEGER NOT NULL,
        message_sequence INTEGER NOT NULL DEFAULT 0,
        info_updates INTEGER NOT NULL DEFAULT 0,
        active_users INTEGER NOT NULL DEFAULT 0,
        read INTEGER NOT NULL DEFAULT 1,
        accessible INTEGER NOT NULL DEFAULT 1,
        write INTEGER NOT NULL DEFAULT 1,
        upload INTEGER NOT NULL DEFAULT 1,
        image INTEGER REFERENCES files ON DELETE SET NULL
    );
    CREATE TABLE room_overrides (
        room INTEGER NOT NULL REFERENCES rooms ON DELETE CASCADE,
        user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
        banned INTEGER NOT NULL DEFAULT 0,
        moderator INTEGER NOT NULL DEFAULT 0,
        admin INTEGER NOT NULL DEFAULT 0,
        visible_mod INTEGER NOT NULL DEFAULT 1,
        read INTEGER,
        accessible INTEGER,
        write INTEGER,
        upload INTEGER,
        PRIMARY KEY (room, user)
    ) WITHOUT ROWID;
    CREATE TABLE right_changes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        room INTEGER NOT NULL REFERENCES rooms ON DELETE CASCADE,
        user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
        at_ms INTEGER NOT NULL,
        read INTEGER,
        write INTEGER,
        upload INTEGER
    );
    CREATE INDEX right_changes_by_time ON right_changes(at_ms);
    CREATE INDEX right_changes_by_user ON right_changes(room, user);
    CREATE TABLE unbans (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        room INTEGER REFERENCES rooms ON DELETE CASCADE,
        user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
        at_ms INTEGER NOT NULL
    );
    CREATE INDEX unbans_by_time ON unbans(at_ms);
    CREATE INDEX unbans_by_user ON unbans(user, room);
    CREATE TABLE pending_blinding (
        blinded_id TEXT PRIMARY KEY NOT NULL,
        user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE TABLE room_activity (
        room INTEGER NOT NULL REFERENCES rooms ON DELETE CASCADE,
        user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
        last_active_ms INTEGER NOT NULL,
        PRIMARY KEY (room, user)
    ) WITHOUT ROWID;
    CREATE TABLE posts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        room INTEGER NOT NULL REFERENCES rooms ON DELETE CASCADE,
        author INTEGER NOT NULL REFERENCES users,
        posted_ms INTEGER NOT NULL,
        edited_ms INTEGER,
        data BLOB,
        signature BLOB,
        seqno INTEGER NOT NULL,
        seqno_data INTEGER NOT NULL,
        seqno_creation INTEGER NOT NULL,
        whisper_to INTEGER REFERENCES users,
        whisper_mods INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX posts_by_seqno ON posts(room, seqno);
    CREATE INDEX posts_by_author ON posts(room, author, posted_ms);
    CREATE INDEX posts_by_room ON posts(room, id);
    CREATE TABLE post_history (
        id INTEGER PRIMARY KEY,
        post INTEGER NOT NULL REFERENCES posts ON DELETE CASCADE,
        data BLOB NOT NULL,
        signature BLOB NOT NULL,
        replaced_ms INTEGER NOT NULL
    );
    CREATE INDEX post_history_by_post ON post_history(post);
    CREATE TABLE reactions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        post INTEGER NOT NULL REFERENCES posts ON DELETE CASCADE,
        emoji TEXT NOT NULL,
        UNIQUE (post, emoji)
    );
    CREATE TABLE reactors (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        reaction INTEGER NOT NULL REFERENCES reactions ON DELETE CASCADE,
        user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
        reacted_ms INTEGER NOT NULL,
        UNIQUE (reaction, user)
    );
    CREATE TABLE pins (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        room INTEGER NOT NULL REFERENCES rooms ON DELETE CASCADE,
        post INTEGER NOT NULL UNIQUE REFERENCES posts ON DELETE CASCADE,
        pinned_ms INTEGER NOT NULL,
        pinned_by INTEGER NOT NULL REFERENCES users
    );
    CREATE INDEX pins_by_room ON pins(room);
    CREATE TABLE files (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        room INTEGER NOT NULL REFERENCES rooms ON DELETE CASCADE,
        uploader INTEGER NOT NULL REFERENCES users,
        post INTEGER REFERENCES posts,
        size INTEGER NOT NULL,
        uploaded_ms INTEGER NOT NULL,
        expires_ms INTEGER,
        filename TEXT,
        blob_key TEXT NOT NULL
    );
    CREATE INDEX files_by_expiry ON files(expires_ms);
    CREATE INDEX files_by_post ON files(post);
    CREATE TABLE inbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        sender INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
        recipient INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
        body BLOB NOT NULL,
        posted_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL
    );
    CREATE INDEX inbox_by_recipient ON inbox(recipient, id);
    CREATE INDEX inbox_by_sender ON inbox(sender, id);
    CREATE INDEX inbox_by_expiry ON inbox(expires_ms);
    CREATE TABLE nonces (
        nonce BLOB PRIMARY KEY NOT NULL,
        expires_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
)
