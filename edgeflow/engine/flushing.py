"""When a run flushes: one flush at a time, shared by all who wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from edgeflow.engine import children
from edgeflow.engine.committing import resolve
from edgeflow.errors import EdgeflowError, Fenced, StoreUnavailable
from edgeflow.events import Event, EventKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeflow.engine.children import Birth, Met
    from edgeflow.engine.composing import Taken
    from edgeflow.engine.run import Run
    from edgeflow.store import Envelope

    Landed: TypeAlias = tuple[Sequence[Envelope], Sequence[Met]]


class Flusher:
    """Writes the journal of one run, keeps its lease, and tells who waits for it."""

    def __init__(self, run: Run) -> None:
        """Flush for `run`."""
        self.urgent = False
        """Whether what is dirty is to be flushed at once, in the background."""
        self._run = run
        self._journal = run.journal
        self._settings = run.settings
        self._clock = run.clock
        self._host = asyncio.get_running_loop()
        self._flight: asyncio.Task[Landed] | None = None
        self._renewal: asyncio.Task[bool] | None = None
        self._renew_at = 0.0
        self._rests = False
        """Whether the last frame says that it rests: then it can be claimed."""
        self._until = 0.0
        """When the lease is over, in s since the epoch."""
        self.hold(self._settings.lease)
        self._dirty_since: float | None = None
        self._gates: deque[tuple[int, Callable[[], None]]] = deque()
        self._events: deque[tuple[int, Event]] = deque()
        self._outsiders: list[tuple[int, asyncio.Future[None]]] = []

    # --- what waits for a flush -------------------------------------------------

    @property
    def in_flight(self) -> bool:
        """Whether the store has yet to answer: to a flush, or to a renewal."""
        return self._flight is not None or self._renewal is not None

    @property
    def overfull(self) -> bool:
        """Whether so much is dirty that the body must wait."""
        return self._journal.dirty_bytes > self._settings.max_dirty_bytes

    def when_durable(self, mark: int, then: Callable[[], None]) -> None:
        """Call `then`, in the run's turn, once change `mark` is durable."""
        self._gates.append((mark, then))

    def written(self, mark: int) -> asyncio.Future[None]:
        """Give what ends once change `mark` is durable, for those outside the run."""
        waiter = self._host.create_future()
        self._outsiders.append((mark, waiter))
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
        self._events.append((self._journal.mark, event))

    def tell(self) -> None:
        """Tell observers of what is durable by now."""
        while self._events and self._events[0][0] <= self._journal.durable:
            self._settings.observers.tell(self._events.popleft()[1])

    # --- flushing -----------------------------------------------------------------

    def flush(self) -> None:
        """Begin a flush, unless one is in flight: then its end begins the next."""
        if self._flight is not None:
            return
        rest = self._run.rest_now()
        self.urgent = False
        self._dirty_since = None
        self.hold(rest.lease)
        self._rests, self._run.borrowed = rest.resting, False
        try:
            taken = self._journal.take(rest)
        except Exception as error:  # of a codec, say
            self._fail(error)
            return
        births = children.owed(self._journal)
        self._flight = self._host.create_task(self._write(taken, births))
        self._flight.add_done_callback(self._landed)

    async def _write(self, taken: Taken, births: Sequence[Birth]) -> Landed:
        sends = await self._journal.write(taken)
        return sends, await children.create(self._journal, births)

    def flush_if_due(self) -> None:
        """Flush while code runs, if somebody waits, or much or long enough is dirty."""
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
        if needed:
            self.flush()

    def _landed(self, task: asyncio.Task[Landed]) -> None:
        self._flight = None
        run = self._run
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            sends, births = task.result()
            for message in sends:
                self._settings.sent(message.to)
            children.announce(run, births)
            self.tell()
            for mark, waiter in self._outsiders:
                if mark <= self._journal.durable:
                    resolve(waiter)
            run.advance()
        else:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, EdgeflowError):
            self._run.give_up(error)
        else:
            trouble = StoreUnavailable(f"{self._run}: the store failed: {error!r}")
            trouble.__cause__ = error
            self._run.give_up(trouble)

    # --- the lease ----------------------------------------------------------------

    def hold(self, lease: float) -> None:
        """Note that the lease is over in `lease` seconds."""
        now = self._clock.now()
        self._renew_at, self._until = now + lease / 2, now + lease

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
            self.hold(self._settings.lease)
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
