"""Run: drives one instance from its opening to suspension or its end.

`advance` is the heart. It is called from plain callbacks of the host's loop,
whenever something happened: a step ended, a flush was written, a message came,
a time was reached. It does all that can be done now, in one fixed order, and
returns; there is one place where the instance comes to rest.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from edgeflow.engine import ending
from edgeflow.engine.desk import Desk
from edgeflow.engine.failures import info
from edgeflow.engine.flushing import Flusher
from edgeflow.engine.inbox import Inbox, Mailbox
from edgeflow.engine.loop import BodyTimer, make_loop
from edgeflow.engine.ops.sleep import TimerOp
from edgeflow.engine.resting import next_time, rest_of
from edgeflow.engine.scope import scope
from edgeflow.errors import (
    BodyError,
    DefinitionError,
    StoreUnavailable,
    ValueRefused,
)
from edgeflow.store import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.clock import Alarm
    from edgeflow.engine.journal import Journal, Rest
    from edgeflow.engine.operation import Op
    from edgeflow.engine.settings import Body, Settings

log = logging.getLogger("edgeflow")

REPLAY_SLICE = 256
"""Deliveries after which a long replay lets the host's loop breathe."""


HEED_SECONDS = 1.0
"""How long a cancelled step may take to end before it is left alone."""


class Run(Desk):
    """One instance in this process, under a token of its own."""

    def __init__(
        self,
        journal: Journal,
        body: Body,
        settings: Settings,
        inbox: Inbox | None,
        rested: Callable[[Run], None],
    ) -> None:
        """Take over an opened journal; `rested` is called at rest and at the end.

        `inbox` None: not read yet.
        """
        super().__init__(journal, settings)
        self.mailbox = Mailbox(journal.wiring, self.id, inbox)
        self.encode_output = body.encode_output
        self.body = make_loop(self, journal.start["at"])
        self.failure: BaseException | None = None
        """Why the run was given up: Fenced, StoreUnavailable."""
        self.resting: Rest | None = None
        """How the instance rests, once it does."""
        self.borrowed = False
        """Whether the lease was taken without a flush that would give it back."""
        self.stopping = False
        self._begin = body.begin
        self._rested = rested
        self._host = asyncio.get_running_loop()
        self.flusher = Flusher(self)
        self.task: asyncio.Task[Any] | None = None
        self._ending: Rest | None = None
        self.stopped_at = 0.0
        self.cut_at: float | None = None
        self._was_cut = False
        self._alarm: Alarm | None = None

    # --- the heart ------------------------------------------------------------

    def advance(self) -> None:
        """Do all that can be done now. Call it from a plain callback of the host."""
        if self.over:
            return
        try:
            try:
                self._turn()
            except (BodyError, DefinitionError, ValueRefused) as error:
                if isinstance(error, ValueRefused):
                    error = BodyError(str(error))
                self.violate(error)
                self._end()
        except Exception as error:  # a defect of edgeflow must not hang its callers
            log.exception("%s: the engine failed", self)
            self.give_up(error)
        if not self.over:
            self._set_alarm()

    def _turn(self) -> None:  # noqa: C901  one decision after the other, in one place
        self.resting = None
        if self.task is None and not self._ending:
            self.task = self._start()
        for _ in range(REPLAY_SLICE):
            self.body.run_until_idle()
            if self._ending or self.violation or (self.task and self.task.done()):
                return self._end()
            if self.journal.replay:
                self.deliver(self.journal.replay.popleft())
            elif self.stopping:
                return self._stop()
            elif self.asked:  # nothing runs live before the history is verified
                self._begin_op(self.asked.popleft())
            elif gate := self.flusher.open_gate():
                gate()
            elif self.settled:
                if self.settled[0][1] > self.journal.durable or self.flusher.overfull:
                    return self.flusher.flush()
                self.deliver(self.settled.popleft()[0])
            elif self._receive() or self._reach_time():
                continue
            elif self.is_busy or self.mailbox.is_fetching:
                self.linger_until = None
                return self.flusher.flush_if_due()
            else:
                return self._suspend()
        self._host.call_soon(self.advance)
        return None

    def _start(self) -> asyncio.Task[Any]:
        context = copy_context()
        context.run(scope.set, self.root)
        return self.body.create_task(self._begin(self), context=context)

    def _receive(self) -> bool:
        """Give waiting messages to the receive that asked first."""
        now = self.clock.now()
        for op in self.receivers.values():
            messages = self.mailbox.take(op.names, op.limit, now)
            if messages is None:
                if not self.mailbox.is_fetching:
                    self.fetch()
                return False
            if messages:
                op.arrived(self, messages)
                return True
        return False

    def _reach_time(self) -> bool:
        if self.mailbox.is_fetching and self.receivers:
            return False  # a message wins over its deadline
        callback = self.timers.pop(self.clock.now())
        if callback is None:
            return False
        callback()
        return True

    def _begin_op(self, op: Op[Any]) -> None:
        if self.waiting.get(op.key) is op:
            op.begin(self)

    def drop(self, op: Op[Any]) -> None:
        """Let go of an operation that the body waits for no longer, if it did."""
        if self.waiting.get(op.key) is not op:
            return
        del self.waiting[op.key]
        if self.over:
            return
        entry = self.journal.entries.get(op.key)
        if entry is not None and "n" in entry.data and not entry.delivered:
            self.skipped.add(op.key)
        else:
            op.abandon(self)

    def timer_set(self, timer: BodyTimer) -> None:
        if self.check_open():
            self.ask(TimerOp(self, timer))

    def timer_cancelled(self, timer: BodyTimer) -> None:
        if isinstance(timer.op, TimerOp):
            self.drop(timer.op)

    # --- rest -----------------------------------------------------------------

    def _suspend(self) -> None:
        """Come to rest: the only place where an instance does."""
        rest = self.rest_now()
        if not self._is_written(rest, deaths=0):
            return
        now = self.clock.now()
        if self.linger_until is None:
            self.linger_until = now + self.settings.linger
        near = rest.wake_at is not None and rest.wake_at <= self.linger_until
        if not near and (not self.receivers or now >= self.linger_until):
            self._come_to_rest(rest)

    def _stop(self) -> None:
        """Come to rest before its time: steps may end, nothing new begins."""
        if self.executing:
            if self.cut_at is not None and self.clock.now() >= self.cut_at:
                self._cut_steps()
            if self.journal.dirty:
                self.flusher.flush()
            return
        # What waited behind these is in the journal, or is asked for again by replay.
        self.flusher.close_gates()
        self.settled.clear()
        self.asked.clear()
        rest = self.rest_now()
        if self._is_written(rest, deaths=self.journal.deaths):
            self._come_to_rest(rest)

    def _cut_steps(self) -> None:
        """Cancel the running steps; those that do not heed it are left alone."""
        for op in list(self.executing.values()):
            op.cut()
        if self._was_cut:
            ending.stop_steps(self)
            self.executing.clear()
            self._host.call_soon(self.advance)
        else:
            self.journal.deaths += 1
        self._was_cut = True
        self.cut_at = self.clock.now() + HEED_SECONDS

    def _end(self) -> None:
        """Record how the instance ended, flush it, and only then say so."""
        if self._ending is None:
            self._ending = ending.conclude(self, self.task)
            ending.stop_steps(self)
        if self._is_written(self._ending, deaths=0):
            self._come_to_rest(self._ending)

    def _is_written(self, rest: Rest, deaths: int) -> bool:
        """See to it that everything is in the store, this rest included."""
        if self.flusher.in_flight:
            return False
        if self.journal.dirty or self.journal.written != rest:
            self.journal.deaths = deaths
            self.flusher.flush()
            return False
        return True

    def _come_to_rest(self, rest: Rest) -> None:
        self.resting = rest
        if rest.status == "suspended":
            self.emit("suspended", wake_at=rest.wake_at, awaiting=rest.awaiting)
        elif rest.status in ("completed", "failed", "blocked"):
            error = self.journal.end.get("error")
            self.emit(rest.status, error=info(error) if error else None)
        self.flusher.tell()
        self._rested(self)

    def rest_now(self) -> Rest:
        """Say how the instance rests if it rests now."""
        return self._ending or rest_of(self)

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that no rest can interrupt."""
        gated = self.flusher.gated
        return bool(self.executing or gated or self.settled or self.asked)

    @property
    def can_go_on(self) -> bool:
        """Whether a time that is reached can be acted upon."""
        fetching = self.mailbox.is_fetching and self.receivers
        return not (self.settled or self.stopping or fetching)

    def resume(self) -> None:
        """Go on after a rest, in this process, without replay, under a new lease."""
        self.borrowed = True
        self.flusher.hold(self.settings.lease)
        self.resting = None
        self.linger_until = None
        if self.receivers:
            self.fetch()
        self._host.call_soon(self.advance)

    @property
    def finished(self) -> bool:
        """Whether the instance has ended, or is blocked, and this is durable."""
        rest = self.resting
        return rest is not None and (
            rest.status in TERMINAL or rest.status == "blocked"
        )

    # --- the inbox ------------------------------------------------------------------

    def fetch(self) -> None:
        """Read the inbox again: something arrived, or it was never read."""
        if not self.over:
            self.mailbox.fetch(self._fetched)

    def _fetched(self, error: BaseException | None) -> None:
        if error is not None:
            self.give_up(StoreUnavailable(f"{self}: its inbox: {error}"))
        self.advance()

    # --- eviction and the end -------------------------------------------------------

    def stop(self, grace: float) -> None:
        """Suspend at the next durable point; steps get `grace` seconds to end."""
        if self.stopping or self.over:
            return
        self.stopping = True
        self.stopped_at = self.clock.now()
        self.cut_at = self.stopped_at + grace
        for op in self.executing.values():
            op.tell_to_stop()
        self._host.call_soon(self.advance)

    @property
    def refuses_steps(self) -> bool:
        """Whether no step may start any more."""
        return self.over or self.stopping

    def give_up(self, error: BaseException) -> None:
        """End the run without another write: what is dirty is dropped."""
        if not self.over:
            self.failure = error
            self.put_away()
            self._rested(self)

    def put_away(self) -> None:
        """Throw the body away; what it recorded is in the store, or is dropped."""
        if self.over:
            return
        self.over = self.body.closing = True
        if self._alarm is not None:
            self._alarm.cancel()
        self.mailbox.close()
        ending.stop_steps(self)
        self._host.call_soon(ending.close_body, self)

    # --- time -----------------------------------------------------------------------

    def _set_alarm(self) -> None:
        """Have `advance` called when the next thing can happen by time alone."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self.resting is None and self._ending is None:
            if self.executing:
                self.flusher.keep_lease()
            when = next_time(self)
            if when is not None:
                self._alarm = self.clock.call_at(when, self.advance)
