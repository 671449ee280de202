"""Commits without an event loop, from any thread, on a connection of their own.

They are for the end of a process whose loop is stuck. The loop may have the very same
commit in flight; then the server writes it once, and refuses the later one.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import psycopg

from edgeflow.errors import Conflict
from edgeflow_postgres import _schema as sql
from edgeflow_postgres._pool import cut, is_alive
from edgeflow_postgres._rows import encode
from edgeflow_postgres._trouble import (
    LONGEST_PAUSE,
    TRANSIENT,
    Loss,
    explain,
    pause,
    unreachable,
)

if TYPE_CHECKING:
    from edgeflow.store import Commit


class _Connection(psycopg.Connection[Any]):
    """A connection that may be left open: its socket ends with the process."""

    def __del__(self, _warn: object = None) -> None:
        """Say nothing, unlike psycopg: a process that is stuck closes no store."""


class _Line:
    """The connection of one process, one commit at a time."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.db: _Connection | None = None


class Emergency:
    """Opens its connection at the first commit, and keeps it."""

    def __init__(
        self, settings: dict[str, Any], name: str, namespace: str, timeout: float
    ) -> None:
        """Name the database, whose tables must be there by the first commit."""
        self._settings = settings
        self._name = name
        self._namespace = namespace
        self._timeout = timeout
        self._lines: dict[int, _Line] = {}  # by process: a fork leads to another one

    def commit(self, instance: str, commit: Commit) -> None:
        """Write a commit, unless it is the last one already.

        Raises:
            Conflict: if another writer was there first; nothing was written.
            OutcomeUnknown: if the answer was lost; it may have been written.
            StoreUnavailable: if the database cannot be used now; nothing was.
        """
        line = self._lines.setdefault(os.getpid(), _Line())
        with line.turn:
            if line.db is None or not is_alive(line.db):
                line.db = self._connect()
            with _Alarm(line.db, self._timeout) as alarm:
                self._write(line.db, instance, commit, alarm)

    def close(self) -> None:
        """Let a commit that is being written end, and close the connection."""
        line = self._lines.get(os.getpid())
        if line is None:
            return
        with line.turn:
            db, line.db = line.db, None
            if db is not None:
                db.close()

    def _connect(self) -> _Connection:
        try:
            return _Connection.connect(
                **self._settings, autocommit=True, prepare_threshold=None
            )
        except (psycopg.Error, OSError) as error:
            raise unreachable(self._name, error) from error

    def _write(
        self, db: _Connection, instance: str, commit: Commit, alarm: _Alarm
    ) -> None:
        values = encode(self._namespace, instance, commit)
        tries = 0
        while True:
            try:
                if self._ask(db, sql.COMMIT, values)[0]:
                    return
                last = self._ask(db, sql.LAST, [self._namespace, instance])
                if last == (commit.last, commit.token):
                    return
                raise Conflict("another writer was there first")
            except psycopg.Error as error:
                tries += 1
                if error.sqlstate not in TRANSIENT or alarm.is_near:
                    silent = self._timeout if alarm.has_rung else None
                    loss = Loss(db.closed, is_writing=True, silent=silent)
                    known = explain(self._name, error, loss)
                    if known is None:
                        raise
                    raise known from error
            time.sleep(pause(tries))

    def _ask(
        self, db: _Connection, statement: str, values: list[object]
    ) -> tuple[Any, ...]:
        row = db.execute(statement.encode(), values, binary=True).fetchone()
        return row or ()


class _Alarm:
    """Cuts a connection that gives no answer within some seconds."""

    def __init__(self, db: _Connection, seconds: float) -> None:
        self._db = db
        self._at = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True
        self.has_rung = False

    @property
    def is_near(self) -> bool:
        """Whether there is no time for another try."""
        return time.monotonic() + LONGEST_PAUSE >= self._at

    def __enter__(self) -> Self:
        # An interpreter that ends starts no thread any more; then nothing is cut.
        with suppress(RuntimeError):
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _ring(self) -> None:
        self.has_rung = True
        cut(self._db)
