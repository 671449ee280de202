"""An open store: it belongs to one event loop in one process."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

import psycopg

from edgeflow.errors import StoreUnavailable
from edgeflow_postgres._opening import prepare
from edgeflow_postgres._pool import Pool
from edgeflow_postgres._trouble import TRANSIENT, Loss, explain, pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from edgeflow_postgres._pool import Connection

T = TypeVar("T")


async def start(
    settings: dict[str, Any], name: str, size: int, timeout: float
) -> Session:
    """Connect, and create the tables if they are not there.

    Raises:
        StoreUnavailable: if the database cannot be used; says why and what to do.
    """
    if type(asyncio.get_running_loop()).__name__ == "ProactorEventLoop":
        raise StoreUnavailable(
            "psycopg cannot use the event loop that Windows has by default: run with "
            "asyncio.run(main(), loop_factory=asyncio.SelectorEventLoop), or "
            "asyncio.Runner before Python 3.12"
        )
    session = Session(Pool(settings, name, size), name, timeout)
    try:
        await session.do(lambda connection: prepare(connection, name))
    except BaseException:
        await session.close()
        raise
    return session


class Session:
    """Runs statements: each in a transaction of its own, each one round trip."""

    def __init__(self, pool: Pool, name: str, timeout: float) -> None:
        """Use a pool that was made on this event loop; `timeout` is of each call."""
        self.pool = pool
        self._name = name
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def is_ours(self) -> bool:
        """Whether this is the process and the event loop that opened it."""
        return self._process == os.getpid() and self._loop is asyncio.get_running_loop()

    async def fetch(
        self, statement: str, values: Sequence[object], *, writing: bool = False
    ) -> Sequence[Sequence[Any]]:
        """Run one statement and give its rows, also if nobody waits any more.

        Raises:
            StoreUnavailable: if nothing was written.
            OutcomeUnknown: if it is `writing` and the answer was lost.
        """
        return await self.do(lambda c: _fetch(c, statement, values), writing=writing)

    async def in_turn(
        self,
        instance: str,
        statement: str,
        values: Sequence[object],
        *,
        writing: bool = False,
    ) -> Sequence[Sequence[Any]]:
        """Do as `fetch`, but after the calls for the same instance before it.

        So a `load` sees how a commit ended whose await was cancelled.
        """

        async def take_turn() -> Sequence[Sequence[Any]]:
            turn = self._turns.setdefault(instance, asyncio.Lock())
            async with turn:
                return await self._try(
                    lambda c: _fetch(c, statement, values), writing=writing
                )

        return await self._to_the_end(take_turn())

    async def do(
        self, work: Callable[[Connection], Awaitable[T]], *, writing: bool = False
    ) -> T:
        """Do some work on a connection, to its end; raises as `fetch` does."""
        return await self._to_the_end(self._try(work, writing=writing))

    async def forever(self) -> None:
        """Wait until this await is cancelled."""
        await self._loop.create_future()

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for, but `close`."""
        self._keep(self._loop.create_task(work))

    async def close(self) -> None:
        """Let what is in flight end, then close the connections."""
        if self._process != os.getpid():
            return  # they are the parent's
        if self._loop is asyncio.get_running_loop():
            while self._tasks:
                await asyncio.wait(self._tasks)
        await self.pool.close()

    async def _try(
        self, work: Callable[[Connection], Awaitable[T]], *, writing: bool
    ) -> T:
        deadline = self._loop.time() + self._timeout
        tries = 0
        while True:
            async with self.pool.connection(deadline) as connection:
                try:
                    return await work(connection)
                except psycopg.Error as error:
                    tries, now = tries + 1, self._loop.time()
                    rest = pause(tries)
                    if error.sqlstate not in TRANSIENT or now + rest >= deadline:
                        silent = self._timeout if now >= deadline else None
                        lost = Loss(connection.closed, writing, silent)
                        known = explain(self._name, error, lost)
                        if known is None:
                            raise
                        raise known from error
            await asyncio.sleep(rest)

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that a cancellation must not tear."""
        task = self._loop.create_task(work)
        self._keep(task)
        return await asyncio.shield(task)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # who was cancelled does not ask for it


async def _fetch(
    connection: Connection, statement: str, values: Sequence[object]
) -> Sequence[Sequence[Any]]:
    # A binary answer spares the hexadecimal digits of bodies.
    cursor = await connection.execute(statement.encode(), values, binary=True)
    return await cursor.fetchall()
