"""Hints by LISTEN and NOTIFY, beside the commits and never in them.

A NOTIFY in a transaction takes a lock of the whole cluster when it commits
(https://www.postgresql.org/docs/current/sql-notify.html), so ours are calls of their
own, and few. What hears them is one direct connection: LISTEN belongs to a session,
which a pooler in transaction mode gives to somebody else.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import aclosing, suppress
from hashlib import sha256
from typing import TYPE_CHECKING

import psycopg

from edgeflow.errors import StoreError

if TYPE_CHECKING:
    from edgeflow_postgres._session import Session

RARELY = 0.05
"""Seconds between two notices of one process."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
"""Seconds before a lost connection is made again: each time twice as many."""

NOTIFY = "select pg_notify(%s, %s)"


class Notices:
    """Tells other processes, and hears them, as long as that works."""

    def __init__(self, session: Session, namespace: str, timeout: float) -> None:
        """Speak by the connections of `session`, and listen on another one."""
        self._session = session
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._channel = f"edgeflow_{sha256(namespace.encode()).hexdigest()[:32]}"
        self._me = uuid.uuid4().hex
        self._heard = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None
        self._planned: asyncio.TimerHandle | None = None
        self._next = 0.0

    def announce(self) -> None:
        """Tell the others soon, once for all that happens until then."""
        if self._planned is None:
            at = max(self._loop.time(), self._next)
            self._planned = self._loop.call_at(at, self._speak)

    async def wait(self) -> None:
        """Wait until another process has said something."""
        if self._listener is None:
            self._listener = self._loop.create_task(self._listen())
        await self._heard.wait()
        self._heard.clear()

    async def close(self) -> None:
        """Fall silent."""
        if self._planned is not None:
            self._planned.cancel()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])

    def _speak(self) -> None:
        self._planned = None
        self._next = self._loop.time() + RARELY
        self._session.in_background(self._notify())

    async def _notify(self) -> None:
        with suppress(StoreError):  # whoever misses it looks at intervals all the same
            await self._session.fetch(NOTIFY, [self._channel, self._me])

    async def _listen(self) -> None:
        pause = FIRST_PAUSE
        while True:
            with suppress(StoreError, psycopg.Error):
                connection = await self._session.pool.connect(
                    self._loop.time() + self._timeout
                )
                try:
                    await connection.execute(f'listen "{self._channel}"'.encode())
                    self._heard.set()  # for what was said while nobody listened
                    pause = FIRST_PAUSE
                    async with aclosing(connection.notifies()) as notices:
                        async for notice in notices:
                            if notice.payload != self._me:
                                self._heard.set()
                finally:
                    await connection.close()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
