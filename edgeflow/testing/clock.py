"""Virtual time: it stands while anything works, and jumps when everything waits."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from edgeflow.engine.committing import sleep

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_holds: ContextVar[tuple[Hold, ...]] = ContextVar("edgeflow.testing.holds", default=())

PATIENCE = 12
"""Turns of the loop without anything new after which everything is said to wait."""


class VirtualClock:
    """A clock for tests: a year of sleeping takes milliseconds.

    Time jumps to the next timer once the loop has turned a few times and no
    store, thread or new timer has shown itself. Steps under test wait with
    `await clock.sleep(60)`; real I/O in a step does not hold time up.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        """Start at `start`, in s since the epoch."""
        self._now = start
        self._timers: list[tuple[float, int, VirtualAlarm]] = []
        self._ages = count()
        self._busy = 0
        self._quiet = 0
        self._watched_by: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        """Give the virtual time."""
        return self._now

    def call_at(
        self, when: float, callback: Callable[[], object], *, idle: bool = False
    ) -> VirtualAlarm:
        """Call back when virtual time has reached `when`."""
        alarm = VirtualAlarm(when, callback, idle=idle)
        heappush(self._timers, (when, next(self._ages), alarm))
        self._watch()
        return alarm

    @contextmanager
    def busy(self) -> Generator[None]:
        """Hold time still while a store or thread is at work."""
        hold = Hold()
        self._busy += 1
        token = _holds.set((*_holds.get(), hold))
        try:
            yield
        finally:
            _holds.reset(token)
            self._busy -= hold.counts
            hold.is_over = True
            self._quiet = 0

    async def sleep(self, seconds: float) -> None:
        """Wait on the host's loop for virtual seconds: for steps and stores under test.

        Whoever holds time still and waits for it lets go meanwhile.
        """
        holds = [hold for hold in _holds.get() if not hold.is_over]
        for hold in holds:
            self._busy -= hold.counts
            hold.sleepers += 1
        try:
            await sleep(self, seconds)
        finally:
            for hold in holds:
                hold.sleepers -= 1
                self._busy += hold.counts

    def advance(self, seconds: float) -> None:
        """Move time on by hand; what is due is called in the next turns of the loop."""
        self._now += seconds
        self._quiet = 0
        if self._timers:
            with suppress(RuntimeError):  # outside of a loop there is no next turn
                self._watch()

    def _watch(self) -> None:
        self._quiet = 0
        loop = asyncio.get_running_loop()
        if self._watched_by is not loop:
            self._watched_by = loop
            loop.call_soon(self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._watched_by is not loop:
            return
        while self._timers and self._timers[0][2].cancelled:
            heappop(self._timers)
        if not self._timers:
            self._watched_by = None
            return
        if self._timers[0][0] <= self._now:
            heappop(self._timers)[2].fire()
            self._quiet = 0
        elif self._busy:
            # A thread or a server works: look again soon, without burning a core.
            loop.call_later(0.0002, self._look, loop)
            return
        elif self._quiet >= PATIENCE:
            self._jump()
        self._quiet += 1
        loop.call_soon(self._look, loop)

    def _jump(self) -> None:
        self._quiet = 0
        live = [item for item in self._timers if not item[2].cancelled]
        driving = [item for item in live if not item[2].idle]
        self._now = max(self._now, min(driving or live)[0])


class Hold:
    """One stay in `busy`; tasks that begin in it know of it, even once it is over."""

    __slots__ = ("is_over", "sleepers")

    def __init__(self) -> None:
        """Begin to hold time still."""
        self.is_over = False
        self.sleepers = 0
        """How many wait for the clock in it: the first one lets go, the last holds."""

    @property
    def counts(self) -> bool:
        """Whether time stands because of it."""
        return not (self.is_over or self.sleepers)


class VirtualAlarm:
    """A call to come, in virtual time."""

    __slots__ = ("callback", "cancelled", "context", "idle", "when")

    def __init__(
        self, when: float, callback: Callable[[], object], *, idle: bool
    ) -> None:
        """Call back at `when`; an idle one does not move time by itself."""
        self.when = when
        self.callback = callback
        self.context = copy_context()
        self.idle = idle
        self.cancelled = False

    def __lt__(self, other: VirtualAlarm) -> bool:
        return self.when < other.when

    def cancel(self) -> None:
        """Take the call back."""
        self.cancelled = True

    def fire(self) -> None:
        """Call back, once."""
        if not self.cancelled:
            self.cancelled = True
            self.context.run(self.callback)
