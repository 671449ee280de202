"""Group commit: what waits while a commit is in flight goes down in one transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeflow.errors import OutcomeUnknown, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from edgeflow_sqlite._rows import Row

MAX_ROWS = 64
MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Passenger:
    rows: Sequence[Row]
    size: int
    landed: asyncio.Future[None]


class Group:
    """Carries commits to the thread: one flight at a time, full of whoever waits.

    A commit whose await is cancelled before its flight is not written; after
    that it is, or not, as if nobody had asked. The thread works in the order of
    calls, so a `load` that is called afterwards sees how it ended.
    """

    def __init__(self, write: Callable[[Sequence[Row]], Awaitable[None]]) -> None:
        """Use `write` for one transaction."""
        self._write = write
        self._waiting: deque[_Passenger] = deque()
        self._pilot: asyncio.Task[None] | None = None

    async def commit(self, rows: Sequence[Row], size: int) -> None:
        """Write the rows of one commit of `size` bytes, alone or with others.

        Raises:
            Conflict: if its condition does not hold; the others are written.
            StoreUnavailable: if nothing was written.
            OutcomeUnknown: if the loop ended, or the disk failed, in the middle.
        """
        loop = asyncio.get_running_loop()
        passenger = _Passenger(rows, size, loop.create_future())
        self._waiting.append(passenger)
        if self._pilot is None:
            self._pilot = loop.create_task(self._fly())
        await passenger.landed

    async def settle(self) -> None:
        """Return when every commit so far has landed."""
        while self._pilot is not None:
            await asyncio.wait([self._pilot])

    async def _fly(self) -> None:
        try:
            while group := self._board():
                await self._carry(group)
        finally:
            self._pilot = None
            for passenger in self._waiting:  # the loop is ending
                passenger.landed.cancel()
            self._waiting.clear()

    def _board(self) -> list[_Passenger]:
        """Take whoever still waits, up to a transaction of a sensible size."""
        group: list[_Passenger] = []
        rows = size = 0
        while self._waiting:
            rows += len(self._waiting[0].rows)
            size += self._waiting[0].size
            if group and (rows > MAX_ROWS or size > MAX_BYTES):
                break
            passenger = self._waiting.popleft()
            if not passenger.landed.done():
                group.append(passenger)
        return group

    async def _carry(self, group: Sequence[_Passenger]) -> None:
        try:
            await self._write([row for passenger in group for row in passenger.rows])
        except asyncio.CancelledError:
            _fail(group, OutcomeUnknown("the event loop ended during a commit"))
            raise
        except (StoreUnavailable, OutcomeUnknown) as error:
            _fail(group, error)
        except Exception as error:  # noqa: BLE001, RUF100
            await self._carry_singly(group, error)
        else:
            for passenger in group:
                if not passenger.landed.done():
                    passenger.landed.set_result(None)

    async def _carry_singly(
        self, group: Sequence[_Passenger], error: Exception
    ) -> None:
        if len(group) == 1:
            _fail(group, error)
            return
        for passenger in group:
            if not passenger.landed.done():
                await self._carry([passenger])


def _fail(group: Sequence[_Passenger], error: Exception) -> None:
    """Give each its own copy: tracebacks of several tasks must not mix."""
    for passenger in group:
        if not passenger.landed.done():
            copy = error if len(group) == 1 else type(error)(str(error))
            passenger.landed.set_exception(copy)
