"""When a run flushes: one flush at a time, shared by all who wait for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

from edgeflow.engine import children
from edgeflow.engine.committing import resolve
from edgeflow.engine.eager import start
from edgeflow.engine.queues import NOTHING, put
from edgeflow.errors import EdgeflowError, Fenced, StoreUnavailable
from edgeflow.events import Event, EventKind

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from edgeflow.engine.children import Birth, Met
    from edgeflow.engine.composing import Rest, Taken
    from edgeflow.engine.run import Run
    from edgeflow.store import Envelope

    Reply: TypeAlias = Sequence[Envelope] | BaseException


class Flusher:
    """Writes the journal of one run, keeps its lease, and tells who waits for it."""

    __slots__ = (
        "_clock",
        "_dirty_since",
        "_events",
        "_flight",
        "_gates",
        "_has_begun",
        "_host",
        "_journal",
        "_met",
        "_outsiders",
        "_renew_at",
        "_renewal",
        "_reply",
        "_rests",
        "_run",
        "_settings",
        "_until",
        "urgent",
    )

    def __init__(self, run: Run) -> None:
        """Flush for `run`."""
        self.urgent = False
        """Whether what is dirty is to be flushed at once, in the background."""
        self._run = run
        self._journal = run.journal
        self._settings = run.settings
        self._clock = run.clock
        self._host = asyncio.get_running_loop()
        self._flight: asyncio.Task[None] | None = None
        self._reply: Reply | None = None
        """What the store said at once."""
        self._has_begun = False
        self._renewal: asyncio.Task[bool] | None = None
        self._renew_at = 0.0
        self._rests = False
        """Whether the last frame says that it rests: then it can be claimed."""
        self._until = 0.0
        """When the lease is over, in s since the epoch."""
        self.hold(self._settings.lease, self._clock.now())
        self._dirty_since: float | None = None
        self._gates: deque[tuple[int, Callable[[], None]]] = NOTHING
        self._events: deque[tuple[int, Event]] = NOTHING
        self._met: Sequence[Met] = ()
        """Children that the flight has created, or found."""
        self._outsiders: Sequence[tuple[int, asyncio.Future[None]]] = ()

    # --- what waits for a flush -------------------------------------------------

    @property
    def in_flight(self) -> bool:
        """Whether the store has yet to answer: to a flush, or to a renewal."""
        return self._flight is not None or self._renewal is not None

    @property
    def is_wanted(self) -> bool:
        """Whether one is to begin in the background, and can."""
        return self.urgent and self._flight is None and self._journal.dirty

    @property
    def overfull(self) -> bool:
        """Whether so much is dirty that the body must wait."""
        return self._journal.dirty_bytes > self._settings.max_dirty_bytes

    def when_durable(self, mark: int, then: Callable[[], None]) -> None:
        """Call `then`, in the run's turn, once change `mark` is durable."""
        self._gates = put(self._gates, (mark, then))

    def written(self, mark: int) -> asyncio.Future[None]:
        """Give what ends once change `mark` is durable, for those outside the run."""
        waiter = self._host.create_future()
        self._outsiders = (*self._outsiders, (mark, waiter))
        return waiter

    @property
    def gated(self) -> bool:
        return bool(self._gates)

    def open_gate(self) -> Callable[[], None] | None:
        """Take the next call whose change is durable."""
        if self._gates and self._gates[0][0] <= self._journal.durable:
            return self._gates.popleft()[1]
        return None

    def close_gates(self) -> None:
        """Forget the calls: replay asks for them again."""
        self._gates.clear()

    def emit(self, kind: EventKind, **details: Any) -> None:
        """Let observers hear of something once the flush that holds it is written."""
        if not self._settings.observers:
            return
        event = Event(
            kind=kind,
            instance=self._run.id,
            workflow=self._run.workflow_name,
            at=self._journal.now,
            **details,
        )
        self._events = put(self._events, (self._journal.mark, event))

    def tell(self) -> None:
        """Tell observers of what is durable by now."""
        while self._events and self._events[0][0] <= self._journal.durable:
            self._settings.observers.tell(self._events.popleft()[1])

    def shrink(self) -> None:
        """Take no room for what is not there."""
        self._gates = self._gates or NOTHING
        self._events = self._events or NOTHING

    # --- flushing -----------------------------------------------------------------

    def flush(self, rest: Rest | None = None) -> bool:
        """Begin a flush, unless one is in flight: then its end begins the next.

        `rest` is how the instance rests now, if that is known. True: it was written
        at once. Else the run is advanced when it is.
        """
        if self._flight is not None:
            return False
        if rest is None:
            rest = self._run.rest_now()
        now = self._clock.now()
        self.urgent = False
        self._dirty_since = None
        self._renew_at, self._until = now + rest.lease / 2, now + rest.lease
        self._rests, self._run.borrowed = rest.resting, False
        try:
            taken = self._journal.take(rest)
        except Exception as error:  # of a codec, say
            self._fail(error)
            return False
        births = children.owed(self._journal) if self._journal.births else ()
        self._reply, self._has_begun = None, False
        try:
            flight = start(self._fly(taken, births), self._host)
        except (KeyboardInterrupt, SystemExit) as error:  # it may be written, or not
            self._fail(error)
            raise
        if (reply := self._reply) is not None:
            self._reply = None
            return self._land(reply)
        self._flight = flight
        if not self._has_begun:
            flight.add_done_callback(self._cut_off)
        return False

    async def _fly(self, taken: Taken, births: Sequence[Birth]) -> None:
        """Write, and go on with the run in the turn in which the store answers."""
        self._has_begun = True
        try:
            reply: Reply = await self._journal.write(taken)
            if births:
                self._met = await children.create(self._journal, births)
        except GeneratorExit:  # the loop is gone, and all that ran on it
            raise
        except BaseException as error:
            reply = error
        flight, self._flight = self._flight, None
        try:
            if flight is None:
                self._reply = reply
            elif self._land(reply):
                self._run.advance()
            if isinstance(reply, (KeyboardInterrupt, SystemExit)):
                raise reply
        except (KeyboardInterrupt, SystemExit):
            if flight is not None:
                flight.add_done_callback(_heed)
            raise

    def _cut_off(self, flight: asyncio.Task[None]) -> None:
        """Give the run up if the flush was cancelled before it began."""
        if self._flight is flight:
            self._flight = None
            self._fail(asyncio.CancelledError())

    def flush_if_due(self) -> bool:
        """Flush while code runs, if somebody waits, or much or long enough is dirty.

        True: it was written at once.
        """
        needed = bool(self._gates and self._gates[0][0] > self._journal.durable)
        if not self._journal.dirty:
            self._dirty_since = None
            self.urgent = False
            # Written down by a process that is gone, and not done yet.
            owed = self._journal.births or self._journal.undelivered
            needed = needed or bool(owed)
        else:
            now = self._clock.now()
            if self._dirty_since is None:
                self._dirty_since = now
            old = now - self._dirty_since >= self._settings.max_dirty_age
            needed = needed or self.urgent or old or self.overfull
        return needed and self.flush()

    def _land(self, reply: Reply) -> bool:
        """Tell who waits for it; False: it could not be written."""
        if isinstance(reply, BaseException):
            self._fail(reply)
            return False
        for message in reply:
            self._settings.sent(message.to)
        if self._met:
            met, self._met = self._met, ()
            children.announce(self._run, met)
        if self._events:
            self.tell()
        if self._outsiders:
            self._tell_outsiders()
        return True

    def _tell_outsiders(self) -> None:
        durable = self._journal.durable
        for mark, waiter in self._outsiders:
            if mark <= durable:
                resolve(waiter)
        self._outsiders = tuple(it for it in self._outsiders if it[0] > durable)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, EdgeflowError):
            self._run.give_up(error)
        else:
            trouble = StoreUnavailable(f"{self._run}: the store failed: {error!r}")
            trouble.__cause__ = error
            self._run.give_up(trouble)

    # --- the lease ----------------------------------------------------------------

    def hold(self, lease: float, since: float) -> None:
        """Note that the lease is over `lease` seconds after it was asked for."""
        self._renew_at, self._until = since + lease / 2, since + lease

    @property
    def is_held(self) -> bool:
        """Whether code may run: no other process can claim it before that is said."""
        return not self._rests or self._clock.now() < self._renew_at

    @property
    def let_go_at(self) -> float | None:
        """When it can be claimed that rests in the store as it does here; else None."""
        if self.is_held or self.in_flight or self._journal.dirty:
            return None
        return self._until

    def keep_lease(self) -> None:
        """Prolong the lease at half of it; call it while steps run."""
        if self._clock.now() >= self._renew_at and not self.in_flight:
            self.hold(self._settings.lease, self._clock.now())
            self._renewal = self._host.create_task(self._renew())
            self._renewal.add_done_callback(self._renewed)

    async def _renew(self) -> bool:
        journal, now = self._journal, self._clock.now()
        with self._clock.busy():
            return await journal.wiring.store.renew(
                self._run.id, journal.token, now, self._settings.lease
            )

    def _renewed(self, task: asyncio.Task[bool]) -> None:
        self._renewal = None
        if not task.cancelled() and task.exception() is None and not task.result():
            self._run.give_up(Fenced(self._run.id))
        self._run.advance()

    def next_time(self) -> float | None:
        """Tell when something is to be done here by time alone, while steps run."""
        if self.in_flight:
            return None  # the answer is what happens next
        if self._dirty_since is None:
            return self._renew_at
        return min(self._renew_at, self._dirty_since + self._settings.max_dirty_age)


def _heed(flight: asyncio.Task[None]) -> None:
    """Ask for the exception of a task, as nobody else does: else it is logged."""
    flight.exception()
