"""Commits without an event loop, from any thread, on a connection of their own.

They are for the end of a process whose loop is stuck. The loop's own connection may
hold the file's lock meanwhile, and then SQLite waits for it; or have the very same
commit in its queue, and then who is first writes it, and the other one conflicts.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow.errors import Conflict, StoreUnavailable
from edgeflow_sqlite import _schema as sql
from edgeflow_sqlite._rows import encode, insertion
from edgeflow_sqlite._trouble import Explained

if TYPE_CHECKING:
    from edgeflow.store import Commit

_open: set[sqlite3.Connection] = set()
"""Kept from the garbage collector, which would close what a fork has inherited."""


class _Line:
    """The connection of one process, one commit at a time."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.db: sqlite3.Connection | None = None


class Emergency:
    """Opens its connection at the first commit, and keeps it."""

    def __init__(self, path: str, synchronous: str, busy_timeout: float) -> None:
        """Name the file, which must be there by the first commit."""
        self._path = path
        self._file = Path(path).absolute()  # the working directory may change
        self._synchronous = synchronous
        self._patience = busy_timeout
        self._reading = Explained(path, busy_timeout)
        self._writing = Explained(path, busy_timeout, committing=True)
        self._lines: dict[int, _Line] = {}  # by process: a fork leads to another one

    def commit(self, instance: str, commit: Commit) -> None:
        """Write a commit, unless it is the last one already.

        Raises:
            Conflict: if another writer was there first; nothing was written.
            OutcomeUnknown: if the disk failed; it may have been written.
            StoreUnavailable: if the file cannot be written now; nothing was.
        """
        line = self._lines.setdefault(os.getpid(), _Line())
        with line.turn, self._reading:
            if line.db is None:
                line.db = self._connect()
            try:
                with self._writing:
                    line.db.execute(*insertion(encode(instance, commit)))
            except Conflict:
                if not _is_last(line.db, instance, commit):
                    raise

    def close(self) -> None:
        """Let a commit that is being written end, and close the file."""
        line = self._lines.get(os.getpid())
        if line is None:
            return
        with line.turn:
            db, line.db = line.db, None
            if db is not None:
                _open.discard(db)
                db.close()

    def _connect(self) -> sqlite3.Connection:
        if not self._file.exists():
            raise StoreUnavailable(
                f"there is no file {self._path} any more: put it back where it was"
            )
        db = sqlite3.connect(
            f"{self._file.as_uri()}?mode=rw",  # a new file would lack its tables
            uri=True,
            timeout=self._patience,
            isolation_level=None,
            check_same_thread=False,  # `turn` sees to it
        )
        try:
            for statement in (*sql.settings(self._synchronous), *sql.CONNECTION):
                db.execute(statement)
        except BaseException:
            db.close()
            raise
        _open.add(db)
        return db


def _is_last(db: sqlite3.Connection, instance: str, commit: Commit) -> bool:
    """Whether the last frame is this commit's: its number and its token."""
    found: tuple[int, bytes] | None = db.execute(sql.LAST, (instance,)).fetchone()
    return found == (commit.last, commit.token)
