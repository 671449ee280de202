"""Group commit: what waits while a commit is in flight goes down in one transaction."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from edgeflow.errors import OutcomeUnknown, StoreUnavailable
from edgeflow_sqlite._line import tell

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from edgeflow_sqlite._rows import Row

MAX_ROWS = 128
MAX_BYTES = 8 * 1024 * 1024


class _Passenger:
    """One commit, and who waits for it."""

    __slots__ = ("landed", "rows", "size")

    def __init__(
        self, rows: Sequence[Row], size: int, landed: asyncio.Future[None]
    ) -> None:
        self.rows = rows
        self.size = size
        self.landed = landed


class Group:
    """Carries commits to the thread: one flight at a time, full of whoever waits.

    A commit whose await is cancelled before its flight is not written; after
    that it is, or not, as if nobody had asked. The thread works in the order of
    calls, so a `load` that is called afterwards sees how it ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        post: Callable[[Callable[[], None]], None],
        write: Callable[[Sequence[Row]], None],
    ) -> None:
        """Use `post` to give the thread work, and `write` there for one transaction."""
        self._loop = loop
        self._post = post
        self._write = write
        self._waiting: deque[_Passenger] = deque()
        self._is_busy = False  # a flight is in the air, or about to start

    def commit(self, rows: Sequence[Row], size: int) -> asyncio.Future[None]:
        """Write the rows of one commit of `size` bytes, alone or with others.

        Raises:
            Conflict: if its condition does not hold; the others are written.
            StoreUnavailable: if nothing was written.
            OutcomeUnknown: if the disk failed in the middle.
        """
        passenger = _Passenger(rows, size, self._loop.create_future())
        self._waiting.append(passenger)
        if not self._is_busy:
            self._is_busy = True
            self._loop.call_soon(self._take_off)  # with whoever comes in this turn
        return passenger.landed

    def settle(self) -> None:
        """Give the thread all that waits; what it is given afterwards finds it done."""
        while group := self._board():
            self._fly(group)

    def _take_off(self) -> None:
        group = self._board()
        self._is_busy = bool(group)
        if group:
            self._fly(group)

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

    def _fly(self, group: Sequence[_Passenger]) -> None:
        try:
            self._post(partial(self._carry, group))
        except StoreUnavailable as error:
            self._land(group, [error] * len(group))

    def _carry(self, group: Sequence[_Passenger]) -> None:
        """Write a group; in the thread."""
        tell(self._loop, self._land, group, self._attempt(group))

    def _attempt(self, group: Sequence[_Passenger]) -> Sequence[BaseException | None]:
        """Write a group in one transaction, else each by itself; return failures."""
        try:
            self._write([row for passenger in group for row in passenger.rows])
        except (StoreUnavailable, OutcomeUnknown) as error:
            return [error] * len(group)
        except BaseException as error:  # noqa: BLE001, RUF100
            if len(group) == 1:
                return [error]
            return [
                None if each.landed.done() else self._attempt([each])[0]
                for each in group
            ]
        return [None] * len(group)

    def _land(
        self, group: Sequence[_Passenger], failures: Sequence[BaseException | None]
    ) -> None:
        try:
            for passenger, failure in zip(group, failures, strict=True):
                if passenger.landed.done():
                    continue
                if failure is None:
                    passenger.landed.set_result(None)
                else:
                    passenger.landed.set_exception(_own(failure, group))
        finally:
            self._loop.call_soon(self._take_off)  # who is told now may come with it


def _own(failure: BaseException, group: Sequence[_Passenger]) -> BaseException:
    """Give each its own copy: tracebacks of several tasks must not mix."""
    if len(group) > 1 and isinstance(failure, (StoreUnavailable, OutcomeUnknown)):
        return type(failure)(str(failure))
    return failure
