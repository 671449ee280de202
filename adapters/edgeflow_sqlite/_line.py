"""aiosqlite's connection, whose thread also does whole pieces of work.

aiosqlite's own calls each give the thread a future to resolve, on a loop that may be
closed by then, which kills the thread. Work that is posted here reports for itself.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import aiosqlite

from edgeflow.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 64  # rows that aiosqlite's cursors, which we do not use, read at a time


class Line(aiosqlite.Connection):
    """Does what it is given in the order of the calls, one thing at a time."""

    _raw: sqlite3.Connection

    def __init__(self, path: str, busy_timeout: float) -> None:
        """Name the file; it is opened, and the thread started, by awaiting the line."""

        def connect() -> sqlite3.Connection:
            self._raw = sqlite3.connect(
                path, timeout=busy_timeout, isolation_level=None
            )
            return self._raw

        super().__init__(connect, _CHUNK)
        self._name = path

    @property
    def raw(self) -> sqlite3.Connection:
        """The connection itself, for work on the thread.

        aiosqlite forgets its own as soon as a close is cut off, while work waits.
        """
        return self._raw

    def post(self, work: Callable[[], None]) -> None:
        """Have the thread do some work that raises nothing.

        Raises:
            StoreUnavailable: if the line is closed.
        """
        if not self._running:
            raise StoreUnavailable(f"{self._name} is closed: call open() again")
        # As `_execute` does it, but for no future, like `stop` outside of a loop.
        self._tx.put_nowait((None, work))  # pyright: ignore[reportUnknownMemberType]

    async def close(self) -> None:
        """Close the file after all that was asked for, and end the thread.

        If that was told to stop meanwhile, its answer would never come.
        """
        if self._running:
            await super().close()
