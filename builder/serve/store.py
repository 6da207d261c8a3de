"""The server's memory: one SQLite file, written before anything is answered.

Tokens are not in it, only their digests; kickstarts are not either. WAL with synchronous=FULL: what
was committed is there after a kill or a power cut (sqlite.org/wal.html).
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.serve.admission import Allowance, closed
from builder.serve.events import FAILURES, FINISHED, Event
from builder.serve.stages import Said

VERSION = 1
_SCHEMA = """
CREATE TABLE node (
  pair TEXT, name TEXT, generation INTEGER, token TEXT UNIQUE, expires REAL, fetched REAL,
  installed REAL, PRIMARY KEY (pair, name));
CREATE TABLE stage (
  pair TEXT, node TEXT, stage TEXT, event TEXT, detail TEXT, began REAL, since REAL,
  told INTEGER DEFAULT 0, PRIMARY KEY (pair, node, stage));
CREATE TABLE notice (id INTEGER PRIMARY KEY, at REAL, body TEXT);
"""


_FETCHED = Event("kickstart", "done", "fetched over the network")


class StoreError(Exception):
    """The file is no state of this server's; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which node: its pair's id and its name."""

    pair: str
    node: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What a webhook is still to be told."""

    id: int
    at: float
    body: str


def unusable(path: Path, error: sqlite3.Error) -> StoreError:
    """What is wrong with the file, or with the disk it is on."""
    broken = error.sqlite_errorcode in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
    hint = "move it away" if broken else "make room there, or name another with --state"
    return StoreError(f"{path} cannot be used: {error}", hint)


class Store:
    """One connection; whoever holds it uses it from one thread at a time."""

    def __init__(self, path: Path, *, make: bool = True) -> None:
        """Open the state, made (0600) where it is missing. Raises StoreError."""
        if not make and not path.exists():
            raise StoreError(f"{path} is not there", "name the server's own with --state")
        if make:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._db = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
        try:
            self._prepare(path)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise unusable(path, error) from None
        except StoreError:
            self._db.close()
            raise

    def _prepare(self, path: Path) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        with self.transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.split(";")[:-1]:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={VERSION}")
            elif version != VERSION:
                raise StoreError(f"{path} was made by another version", "move it away")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done inside is there afterwards, on the disk, or nothing of it is."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def changed_elsewhere(self) -> int:
        """A number that changes when another process has committed (PRAGMA data_version)."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return int(version)

    # --- who may be installed

    def allow_once(self, key: Key, token: str, expires: float) -> None:
        """Let a node that is not known yet be installed; one that is stays as it is."""
        self._db.execute(
            "INSERT OR IGNORE INTO node VALUES (?, ?, 1, ?, ?, NULL, NULL)",
            (key.pair, key.node, token, expires),
        )

    def allow_again(self, key: Key, generation: int, token: str, expires: float) -> None:
        """Let a node be installed anew; its earlier token is worth nothing from now on."""
        self._db.execute(
            "INSERT OR REPLACE INTO node VALUES (?, ?, ?, ?, ?, NULL, NULL)",
            (key.pair, key.node, generation, token, expires),
        )
        self._forget_stages(key)

    def allowance(self, key: Key) -> Allowance | None:
        """What is known of a node's right to be installed."""
        row = self._db.execute(
            "SELECT generation, expires, fetched, installed FROM node WHERE pair=? AND name=?",
            (key.pair, key.node),
        ).fetchone()
        return Allowance(*row) if row else None

    def whose(self, token: str) -> Key | None:
        """The node whose kickstart the token with this digest fetches."""
        row = self._db.execute("SELECT pair, name FROM node WHERE token=?", (token,)).fetchone()
        return Key(*row) if row else None

    def fetch(self, key: Key, now: float, refetch_s: float, again: str) -> str:
        """Note that the kickstart goes out; why it does not, or nothing.

        `again` is what a human would type to have it go out all the same.
        """
        allowance = self.allowance(key)
        if allowance is None:
            return "it is not served here"
        why = closed(allowance, now, refetch_s)
        if not why and allowance.fetched is not None:
            return ""
        if not why:
            self._db.execute(
                "UPDATE node SET fetched=? WHERE pair=? AND name=?", (now, key.pair, key.node)
            )
        event = Event("kickstart", "refused", f"{why}; next: {again}") if why else _FETCHED
        if allowance.installed is None:
            self.say(key, event, now)
        return why

    # --- how far they are

    def hear(self, key: Key, event: Event, now: float) -> None:
        """Keep what a node tells of itself; a new installation begins with a clean page."""
        if event.starts_over:
            self._forget_stages(key, but="kickstart")
        if event.ends_installation or event.follows_installation:
            self._installed(key, now, fetched=event.follows_installation)
        self.say(key, event, now)

    def _installed(self, key: Key, now: float, *, fetched: bool) -> None:
        """The node is installed; with `fetched` only if its kickstart went out: before that the
        operating system that is to be replaced may still speak."""
        allowance = self.allowance(key)
        if allowance is None or allowance.installed or (fetched and allowance.fetched is None):
            return
        where = (key.pair, key.node)
        self._db.execute("UPDATE node SET installed=? WHERE pair=? AND name=?", (now, *where))
        self._db.execute(  # what it was refused meanwhile did not stop it
            "DELETE FROM stage WHERE pair=? AND node=? AND event='refused'"
            " AND stage IN ('installer', 'kickstart')",
            where,
        )

    def say(self, key: Key, event: Event, now: float) -> None:
        """Keep one stage's last event, and what the webhook is to be told of it."""
        where = (key.pair, key.node, event.stage)
        was = self._db.execute(
            "SELECT event, told, began FROM stage WHERE pair=? AND node=? AND stage=?", where
        ).fetchone()
        told = bool(was and was[1])
        news = event.event in FAILURES and not told
        told = (told or news) and event.event not in FINISHED
        began = was[2] if was else now
        self._db.execute(
            "INSERT OR REPLACE INTO stage VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*where, event.event, event.detail, began, now, told),
        )
        complete = event.stage == "result" and event.event == "complete"
        if news or (complete and not (was and was[0] == "complete")):
            self._note(key, event, now, "finished" if complete else "failed")

    def stages(self, pair: str) -> dict[str, dict[str, Said]]:
        """Node -> stage -> what was said of it last."""
        found: dict[str, dict[str, Said]] = {}
        for node, stage, *said in self._db.execute(
            "SELECT node, stage, event, detail, began, since FROM stage WHERE pair=?", (pair,)
        ):
            found.setdefault(node, {})[stage] = Said(*said)
        return found

    def _forget_stages(self, key: Key, but: str = "") -> None:
        self._db.execute(
            "DELETE FROM stage WHERE pair=? AND node=? AND stage<>?", (key.pair, key.node, but)
        )

    # --- what the webhook is to be told

    def _note(self, key: Key, event: Event, now: float, what: str) -> None:
        body = {"pair": key.pair, "node": key.node, "stage": event.stage, "what": what}
        text = json.dumps({**body, "detail": event.detail}, sort_keys=True)
        self._db.execute("INSERT INTO notice (at, body) VALUES (?, ?)", (now, text))
        self._db.execute("DELETE FROM notice WHERE id <= (SELECT MAX(id) - 1000 FROM notice)")

    def notices(self) -> list[Notice]:
        """What was not told yet, the oldest first."""
        rows = self._db.execute("SELECT id, at, body FROM notice ORDER BY id LIMIT 20")
        return [Notice(*row) for row in rows]

    def told(self, notice: int) -> None:
        """That one was told, or never will be."""
        self._db.execute("DELETE FROM notice WHERE id=?", (notice,))
