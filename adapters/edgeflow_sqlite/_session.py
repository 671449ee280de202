"""One open connection: it belongs to one event loop in one process."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

import aiosqlite

from edgeflow.errors import StoreUnavailable
from edgeflow_sqlite import _schema as sql
from edgeflow_sqlite._exit import stop_at_exit
from edgeflow_sqlite._group import Group
from edgeflow_sqlite._rows import insertion
from edgeflow_sqlite._trouble import explain, explained, is_busy, is_trouble

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from edgeflow_sqlite._rows import Row

    Parameters = Sequence[object] | Mapping[str, object]

_BUSY_PAUSE = 0.01  # seconds between tries where SQLite itself does not wait

_inherited: list[Session] = []  # of the process we were forked from: never touched


async def start(path: str, synchronous: str, busy_timeout: float) -> Session:
    """Open the file, create its tables if it is new, and prepare to commit.

    Raises:
        StoreUnavailable: if the file cannot be used; nothing was changed.
    """
    if sqlite3.sqlite_version_info < sql.OLDEST_SQLITE:
        raise StoreUnavailable(
            f"SQLite {sqlite3.sqlite_version} is too old, edgeflow needs 3.37: "
            "use a Python that is built with one"
        )
    try:
        # aiosqlite's own failure to connect may kill its thread with a traceback.
        sqlite3.connect(path).close()
    except sqlite3.Error as error:
        raise explain(error, path, busy_timeout) from error
    db = aiosqlite.connect(path, isolation_level=None, timeout=busy_timeout)
    stop_at_exit(db)
    session = Session(db, path, busy_timeout)
    try:
        await _connect(db)
        await session.prepare(synchronous)
    except BaseException as error:
        await session.close()
        if isinstance(error, sqlite3.Error) and is_trouble(error):
            raise explain(error, path, busy_timeout) from error
        raise
    return session


async def _connect(db: aiosqlite.Connection) -> None:
    """Connect; a cancellation is passed on once the thread has answered.

    If it were not, the thread might answer to a loop that is closed by then. The
    answer is awaited as the plain future that it is, since `asyncio.run` cancels
    every task when it ends.
    """
    connecting = db.__await__()
    answer = connecting.send(None)
    cancelled: asyncio.CancelledError | None = None
    while not answer.done():
        try:
            await asyncio.wait([answer])
        except asyncio.CancelledError as error:
            cancelled = error
    with suppress(StopIteration):
        connecting.send(None)
    if cancelled is not None:
        raise cancelled


class Session:
    """Runs statements on the connection's thread: one statement, one hop."""

    def __init__(
        self, db: aiosqlite.Connection, path: str, busy_timeout: float
    ) -> None:
        """Take a connection that is not opened yet."""
        self._db = db
        self._path = path
        self._patience = busy_timeout
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._group = Group(self._write)
        self._hops: set[asyncio.Task[Sequence[Sequence[Any]]]] = set()

    def is_ours(self) -> bool:
        """Whether this is the process and the event loop that opened it."""
        return self._process == os.getpid() and self._loop is asyncio.get_running_loop()

    async def fetch(
        self, statement: str, parameters: Parameters = ()
    ) -> Sequence[Sequence[Any]]:
        """Run one statement and return its rows.

        Raises:
            StoreUnavailable: if the file or its disk is in trouble.
            sqlite3.Error: if the statement is.
        """
        with explained(self._path, self._patience):
            return await self._run(statement, parameters)

    async def attempt(self, statement: str, parameters: Parameters) -> str | None:
        """Run one statement; return what its trigger said if it refused, else None.

        Raises:
            StoreUnavailable: if the file or its disk is in trouble.
        """
        try:
            await self.fetch(statement, parameters)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_TRIGGER:
                raise
            return str(error)
        return None

    async def commit(self, rows: Sequence[Row], size: int) -> None:
        """Write the rows of one commit; see `Group.commit`."""
        await self._group.commit(rows, size)

    async def close(self) -> None:
        """Let commits land, then close the file and end the thread."""
        if self._process != os.getpid():
            _inherited.append(self)
            return
        if self._loop is asyncio.get_running_loop():
            await self._group.settle()
            while self._hops:
                await asyncio.wait(self._hops)
        await self._db.close()

    async def prepare(self, synchronous: str) -> None:
        """Check the file before anything is written to it, then set it up."""
        is_new = await self._check_is_ours()
        await self._use_write_ahead_log()
        for statement in sql.settings(synchronous):
            await self._run(statement)
        await self._run("begin immediate")
        if is_new and await self._check_is_ours():  # or another process was faster
            for statement in sql.TABLES:
                await self._run(statement)
            await self._run(f"pragma application_id={sql.APPLICATION_ID}")
            await self._run(f"pragma user_version={sql.VERSION}")
        await self._run("delete from ef_head where 0")  # fails if we may not write
        await self._run("commit")
        for statement in sql.CONNECTION:
            await self._run(statement)

    async def _check_is_ours(self) -> bool:
        """Return whether the file is still empty."""
        ((application, version, objects),) = await self._run(sql.STATE)
        if not (application or version or objects):
            return True
        if application != sql.APPLICATION_ID:
            raise StoreUnavailable(
                f"{self._path} is the database of another program: name a new file"
            )
        if version > sql.VERSION:
            raise StoreUnavailable(
                f"{self._path} was written by a newer edgeflow (its tables have "
                f"version {version}, not {sql.VERSION}): upgrade edgeflow"
            )
        return False

    async def _use_write_ahead_log(self) -> None:
        ((mode,),) = await self._run("pragma journal_mode")
        deadline = self._loop.time() + self._patience
        while mode != "wal":
            try:
                ((now,),) = await self._run("pragma journal_mode=wal")
            except sqlite3.OperationalError as error:
                # Two processes that switch at once: SQLite does not wait here.
                if not is_busy(error) or self._loop.time() > deadline:
                    raise
                await asyncio.sleep(_BUSY_PAUSE)
                continue
            if now != "wal":
                raise StoreUnavailable(
                    f"{self._path} cannot have a write-ahead log: use a local disk"
                )
            mode = now

    async def _run(
        self, statement: str, parameters: Parameters = ()
    ) -> Sequence[Sequence[Any]]:
        """Run one statement; a cancelled caller leaves at once, the statement ends."""
        hop = self._loop.create_task(self._hop(statement, parameters))
        self._hops.add(hop)
        hop.add_done_callback(self._hops.discard)
        return await asyncio.shield(hop)

    async def _hop(
        self, statement: str, parameters: Parameters
    ) -> Sequence[Sequence[Any]]:
        try:
            return list(await self._db.execute_fetchall(statement, parameters))
        except asyncio.CancelledError:
            # The loop is ending. The thread answers to it, and dies if it is closed.
            await self._db.execute_fetchall("select 1")
            raise

    async def _write(self, rows: Sequence[Row]) -> None:
        """Write the rows of one or several commits in one transaction."""
        with explained(self._path, self._patience, committing=True):
            await self._run(*insertion(rows))
