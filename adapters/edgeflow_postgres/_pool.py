"""A few connections, made when they are needed: for one event loop in one process.

psycopg_pool makes connections in tasks of its own, so that who waits for one learns
after a while that there is none, and not why. Here the caller connects, and is told.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from edgeflow.errors import StoreUnavailable
from edgeflow_postgres._trouble import unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Link: TypeAlias = "psycopg.Connection[Any] | psycopg.AsyncConnection[Any]"

SHORTEST = 2
"""Seconds that psycopg gives a connection at least."""


class Connection(psycopg.AsyncConnection[Any]):
    """A connection that may be left open: its socket ends with the process."""

    def __del__(self, _warn: object = None) -> None:
        """Say nothing, unlike psycopg: whoever exits need not close a store."""


def parameters(url: str, name: str, timeout: float) -> dict[str, Any]:
    """Read a URL as libpq does, and add what holds if it says nothing else.

    Raises:
        StoreUnavailable: if libpq cannot read it; the password is not in the text.
    """
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        known = str(error).startswith("invalid URI query parameter")
        why = str(error).strip() if known else "are user and password percent-encoded?"
        raise StoreUnavailable(f"{name}: libpq cannot read its URL: {why}") from None
    return {
        "connect_timeout": max(SHORTEST, math.ceil(timeout)),
        "fallback_application_name": "edgeflow",
        "keepalives_idle": 60,  # some networks forget a connection after minutes
        **given,
        "client_encoding": "utf8",
    }


class Pool:
    """Gives connections out, the one that was used last first."""

    def __init__(self, settings: dict[str, Any], name: str, size: int) -> None:
        """Take what `parameters` gave; nothing is connected yet."""
        self._settings = settings
        self._name = name
        self._room = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._is_closed = False

    @asynccontextmanager
    async def connection(self, deadline: float) -> AsyncGenerator[Connection]:
        """Have a connection for a block, until `deadline` by the loop's clock.

        At the deadline it is cut: what runs on it fails as if the network had.

        Raises:
            StoreUnavailable: if there is none in time; says why.
        """
        try:
            async with asyncio.timeout_at(deadline):
                await self._room.acquire()
        except TimeoutError:
            raise StoreUnavailable(
                f"all connections to {self._name} are busy: raise pool=, or have "
                "fewer instances run at once in this process"
            ) from None
        try:
            connection = self._waiting() or await self.connect(deadline)
            alarm = asyncio.get_running_loop().call_at(deadline, cut, connection)
            try:
                yield connection
            finally:
                alarm.cancel()
                await self._take_back(connection)
        finally:
            self._room.release()

    async def connect(self, deadline: float) -> Connection:
        """Make a connection.

        Raises:
            StoreUnavailable: if that cannot be done, or not in time; says why.
        """
        try:
            async with asyncio.timeout_at(deadline):
                return await Connection.connect(
                    **self._settings, autocommit=True, prepare_threshold=None
                )
        except TimeoutError:
            raise StoreUnavailable(
                f"{self._name} gives no connection in time: look whether it runs, and "
                "whether host and port are right"
            ) from None
        except (psycopg.Error, OSError) as error:
            raise unreachable(self._name, error) from error

    async def close(self) -> None:
        """Close what is idle now, and the others when they come back."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop().close()

    def _waiting(self) -> Connection | None:
        """Find an idle connection that the server has not ended meanwhile."""
        while self._idle:
            connection = self._idle.pop()
            if is_alive(connection):
                return connection
        return None

    async def _take_back(self, connection: Connection) -> None:
        rests = connection.info.transaction_status == TransactionStatus.IDLE
        if rests and not connection.closed and not self._is_closed:
            self._idle.append(connection)
        else:
            await connection.close()


def is_alive(connection: Link) -> bool:
    """Whether a connection at rest still stands, as far as this end of it knows."""
    with suppress(psycopg.Error):
        for _ in range(2):  # a farewell may have to be read before the end is seen
            connection.pgconn.consume_input()
    return not connection.closed


def cut(connection: Link) -> None:
    """End a connection at the socket, so that who waits for an answer gets none.

    The server is not asked to cancel: a commit that waits for a standby would then be
    there without it. https://www.postgresql.org/docs/current/warm-standby.html
    """
    with suppress(psycopg.Error, OSError):
        descriptor = os.dup(connection.fileno())
        with socket.socket(fileno=descriptor) as copy:
            copy.shutdown(socket.SHUT_RDWR)
