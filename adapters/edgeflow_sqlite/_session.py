"""One open connection: it belongs to one event loop in one process."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from edgeflow.errors import StoreUnavailable
from edgeflow_sqlite import _schema as sql
from edgeflow_sqlite._answer import Answer, tell
from edgeflow_sqlite._exit import stop_at_exit
from edgeflow_sqlite._group import Group
from edgeflow_sqlite._line import Line
from edgeflow_sqlite._preparing import set_up, switch
from edgeflow_sqlite._rows import insertion
from edgeflow_sqlite._trouble import Explained, explain, is_busy, is_trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeVar

    from edgeflow_sqlite._rows import Row

    Parameters = Sequence[Any] | Mapping[str, Any]
    T = TypeVar("T")

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
    db = Line(path, busy_timeout)
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


async def _connect(db: Line) -> None:
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
    """Has the connection's thread do what is asked: one call, one hop."""

    def __init__(self, db: Line, path: str, busy_timeout: float) -> None:
        """Take a connection that is not opened yet."""
        self._db = db
        self._path = path
        self._patience = busy_timeout
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._reading = Explained(path, busy_timeout)
        self._writing = Explained(path, busy_timeout, committing=True)
        self._group = Group(self._loop, db.post, self._write)

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
        with self._reading:
            return await self._ask(partial(self._run, statement, parameters))

    async def resume(self, values: Mapping[str, Any]) -> Sequence[Sequence[Any]] | None:
        """Lease an instance, and read what its inbox holds by then; None: it cannot.

        Raises:
            StoreUnavailable: if the file or its disk is in trouble.
        """
        with self._reading:
            return await self._ask(partial(self._resume, values))

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

    def commit(self, rows: Sequence[Row], size: int) -> asyncio.Future[None]:
        """Write the rows of one commit; see `Group.commit`."""
        return self._group.commit(rows, size)

    async def close(self) -> None:
        """Let commits land, then close the file and end the thread."""
        if self._process != os.getpid():
            _inherited.append(self)
            return
        if self._loop is asyncio.get_running_loop():
            self._group.settle()
        await self._db.close()  # comes after all that the thread was given

    async def prepare(self, synchronous: str) -> None:
        """Check the file before anything is written to it, then set it up."""
        deadline = self._loop.time() + self._patience
        while True:
            try:
                await self._ask(lambda: switch(self._db.raw, self._path))
                break
            except sqlite3.OperationalError as error:
                # Two processes that switch at once: SQLite does not wait here.
                if not is_busy(error) or self._loop.time() > deadline:
                    raise
            await asyncio.sleep(_BUSY_PAUSE)
        await self._ask(lambda: set_up(self._db.raw, self._path, synchronous))

    def _ask(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have the thread do some work; it is done though the caller be cancelled."""
        answer: Answer[T] = Answer(loop=self._loop)
        self._db.post(partial(self._answer, answer, work))
        return answer

    def _answer(self, answer: Answer[T], work: Callable[[], T]) -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001, RUF100
            tell(self._loop, answer.refuse, error)
        else:
            tell(self._loop, answer.resolve, result)

    def _run(self, statement: str, parameters: Parameters) -> Sequence[Sequence[Any]]:
        return self._db.raw.execute(statement, parameters).fetchall()

    def _resume(self, values: Mapping[str, Any]) -> Sequence[Sequence[Any]] | None:
        if not self._run(sql.RESUME, values):
            return None
        return self._run(sql.UNREAD, (values["instance"],))

    def _write(self, rows: Sequence[Row]) -> None:
        """Write the rows of one or several commits in one transaction."""
        with self._writing:
            self._db.raw.execute(*insertion(rows))
