"""Group commit: what waits while a commit is in flight goes down in one transaction."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from edgeflow.errors import OutcomeUnknown, StoreUnavailable
from edgeflow_sqlite._answer import Answer, tell

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from edgeflow_sqlite._rows import Row

    Outcome: TypeAlias = tuple["Passenger", BaseException | None]

MAX_ROWS = 128
MAX_BYTES = 8 * 1024 * 1024


class Passenger(Answer[None]):
    """One commit, until it has landed."""

    def __init__(
        self, rows: Sequence[Row], size: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Wait with the rows of a commit of `size` bytes."""
        super().__init__(loop=loop)
        self.rows = rows
        self.size = size


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
        self._waiting: deque[Passenger] = deque()
        self._is_busy = False  # a flight is in the air, or about to start

    def commit(self, rows: Sequence[Row], size: int) -> asyncio.Future[None]:
        """Write the rows of one commit of `size` bytes, alone or with others.

        Raises:
            Conflict: if its condition does not hold; the others are written.
            StoreUnavailable: if nothing was written.
            OutcomeUnknown: if the disk failed in the middle.
        """
        passenger = Passenger(rows, size, self._loop)
        self._waiting.append(passenger)
        if not self._is_busy:
            self._is_busy = True
            self._loop.call_soon(self._take_off)  # with whoever comes in this turn
        return passenger

    def settle(self) -> None:
        """Give the thread all that waits; what it is given afterwards finds it done."""
        while group := self._board():
            self._fly(group)

    def _take_off(self) -> None:
        group = self._board()
        self._is_busy = bool(group)
        if group:
            self._fly(group)

    def _board(self) -> list[Passenger]:
        """Take whoever still waits, up to a transaction of a sensible size."""
        group: list[Passenger] = []
        rows = size = 0
        while self._waiting:
            rows += len(self._waiting[0].rows)
            size += self._waiting[0].size
            if group and (rows > MAX_ROWS or size > MAX_BYTES):
                break
            passenger = self._waiting.popleft()
            if not passenger.done():
                group.append(passenger)
        return group

    def _fly(self, group: Sequence[Passenger]) -> None:
        try:
            self._post(partial(self._carry, group))
        except StoreUnavailable as error:
            self._loop.call_soon(self._land, [(each, error) for each in group])

    def _carry(self, group: Sequence[Passenger]) -> None:
        """Write a group; in the thread."""
        outcomes = zip(group, self._attempt(group), strict=True)
        tell(self._loop, self._land, [*outcomes])

    def _attempt(self, group: Sequence[Passenger]) -> Sequence[BaseException | None]:
        """Write a group in one transaction, else each by itself; return failures."""
        try:
            self._write([row for passenger in group for row in passenger.rows])
        except (StoreUnavailable, OutcomeUnknown) as error:
            return [error] * len(group)
        except BaseException as error:  # noqa: BLE001, RUF100
            if len(group) == 1:
                return [error]
            return [None if each.done() else self._attempt([each])[0] for each in group]
        return [None] * len(group)

    def _land(self, outcomes: Sequence[Outcome]) -> None:
        """Tell the callers, and fly with what they want written next."""
        left = deque(outcomes)
        try:
            while left:
                passenger, failure = left.popleft()
                if failure is None:
                    passenger.resolve(None)
                else:
                    passenger.refuse(_own(failure) if left else failure)
        finally:
            if left:  # ^C was felt in the task of one
                self._loop.call_soon(self._land, left)
            elif len(outcomes) > 1:
                self._loop.call_soon(self._take_off)  # with who comes in this turn
            else:
                self._take_off()


def _own(failure: BaseException) -> BaseException:
    """Give each its own copy: tracebacks of several tasks must not mix."""
    if isinstance(failure, (StoreUnavailable, OutcomeUnknown)):
        return type(failure)(str(failure))
    return failure
