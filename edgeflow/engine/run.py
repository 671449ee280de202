"""Run: drives one instance from its opening to suspension or its end.

`advance` is the heart. It is called from plain callbacks of the host's loop, whenever
something happened: a step ended, a flush was written, a message came, a time was
reached. It does all that can be done now, in one fixed order, and returns; there is
one place where the instance comes to rest.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from edgeflow.engine import children, ending, resting
from edgeflow.engine.desk import Desk
from edgeflow.engine.evicting import HEED_SECONDS, Eviction
from edgeflow.engine.failures import info
from edgeflow.engine.flushing import Flusher
from edgeflow.engine.inbox import Inbox, Mailbox, shown
from edgeflow.engine.loop import make_loop
from edgeflow.engine.scope import scope
from edgeflow.engine.undo import undo_all
from edgeflow.errors import BodyError, DefinitionError, StoreUnavailable, ValueRefused
from edgeflow.store import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.clock import Alarm
    from edgeflow.engine.composing import Rest
    from edgeflow.engine.journal import Journal
    from edgeflow.engine.settings import Body, Settings

log = logging.getLogger("edgeflow")

REPLAY_SLICE = 256
"""Deliveries after which a long replay lets the host's loop breathe."""


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
        self.run = self
        self.mailbox = Mailbox(journal.wiring, self.id, inbox)
        self.encode_output = body.encode_output
        self.find_undo = body.find_undo
        self.body = make_loop(self, journal.start["at"])
        self.failure: BaseException | None = None
        """Why the run was given up: Fenced, StoreUnavailable."""
        self.resting: Rest | None = None
        """How the instance rests, once it does."""
        self.borrowed = False
        """Whether the lease was taken without a flush that would give it back."""
        self._begin = body.begin
        self._rested = rested
        self._host = asyncio.get_running_loop()
        self.flusher = Flusher(self)
        self.task: asyncio.Task[Any] | None = None
        self._ending: Rest | None = None
        self.eviction: Eviction | None = None
        self.was_interrupted = False
        """Whether ^C was felt in the body: that is nothing that the body did."""
        self._is_cancelled = bool(journal.cancel)
        """Whether it is durable that the instance is to be cancelled."""
        self._alarm: Alarm | None = None

    # --- the heart ------------------------------------------------------------

    def advance(self) -> None:
        """Do all that can be done now. Call it from a plain callback of the host."""
        if self.over:
            return
        try:
            try:
                with self.journal.change():
                    self._turn()
            except (BodyError, DefinitionError, ValueRefused) as error:
                if isinstance(error, ValueRefused):
                    error = BodyError(str(error))
                self.violate(error)
                self._end()
        except (KeyboardInterrupt, SystemExit) as error:
            self.was_interrupted |= isinstance(error, KeyboardInterrupt)
            self.stop(0.0)  # the process ends, or its loop goes on without this run
            raise
        except Exception as error:  # a defect of edgeflow must not hang its callers
            log.exception("%s: the engine failed", self)
            self.give_up(error)
        if not self.over:
            self._set_alarm()

    def advance_soon(self) -> None:
        """Have `advance` called from a callback of its own."""
        self._host.call_soon(self.advance)

    def _turn(self) -> None:  # noqa: C901, PLR0911, PLR0912  one decision after the other, in one place
        self.resting = None
        if self.task is None and not self._ending:
            known = self.journal.cancel.get("from") in {"pending", "blocked"}
            if known and not self.journal.undo:
                return self._end()  # its body is not entered (any more)
            self.task = self._start()
        for _ in range(REPLAY_SLICE):
            with self.journal.lent():
                self.body.run_until_idle()
            if self.was_interrupted:
                return self._stop()
            if self._ending or self.violation or (self.task and self.task.done()):
                return self._end()
            if self.journal.replay:
                self.deliver(self.journal.replay.popleft())
            elif self.cancelling:
                return self._end()  # whatever the body still waits for
            elif self._is_cancelled:
                self._cancel_body()
            elif self.stopping:
                return self._stop()
            elif self.mailbox.has_news and children.heed(self):
                continue
            elif self.asked and not self._is_doomed:  # the history is verified
                self.begin(self.next_asked())
            elif gate := self.flusher.open_gate():
                gate()
            elif self.settled:
                if self.settled[0][1] > self.journal.durable or self.flusher.overfull:
                    return self.flusher.flush()
                self.deliver(self.settled.popleft()[0])
            elif self.flusher.is_held and (self._receive() or self._reach_time()):
                continue
            elif self.journal.births and not self.executing:
                return self.flusher.flush()
            elif self.is_busy or self.mailbox.is_fetching:
                self.linger_until = None
                return self.flusher.flush_if_due()
            else:
                return self._suspend()
        self.advance_soon()
        return None

    @property
    def _is_doomed(self) -> bool:
        """Whether the body begins nothing more: its cancellation is being written."""
        return bool(self.journal.cancel) and not self.journal.undo

    def _start(self) -> asyncio.Task[Any]:
        begin = self._begin
        if self.journal.undo:
            ending.leave_body(self)
            self._is_cancelled, begin = False, undo_all
        context = copy_context()
        context.run(scope.set, self.root)
        return self.body.create_task(begin(self), context=context)

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

    # --- rest -----------------------------------------------------------------

    def _suspend(self) -> None:
        """Come to rest: the only place where an instance does."""
        written, let_go_at = self.journal.written, self.flusher.let_go_at
        if written is not None and let_go_at is not None:
            going = resting.leave(self, written, let_go_at)
            if going is not None and written.stays:  # nobody is asked to wake it
                self.linger_until = self.clock.now()
                self.flusher.flush()
            elif going is not None:
                self._come_to_rest(going)
            return
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
        if self.eviction is None or not self.eviction.is_over():
            return
        # What waited behind these is in the journal, or is asked for again by replay.
        self.flusher.close_gates()
        self.settled.clear()
        self.asked.clear()
        rest = self.rest_now()
        if self._is_written(rest, deaths=self.journal.deaths):
            self._come_to_rest(rest)

    def _end(self) -> None:
        """Record how the instance ended, flush it, and only then say so."""
        if self._ending is None:
            if self.journal.births and not self.violation:
                self.flusher.flush()  # who has ended is never due again
                return
            self._ending = ending.conclude(self, self.task)
            ending.stop_steps(self)
            children.concluded(self, self._ending)
        if not self._is_written(self._ending, deaths=0):
            return
        if self._ending.status == "undoing":
            self._ending, self.task = None, self._start()
            self.advance_soon()
        else:
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
            awaiting = shown(rest.awaiting)
            self.emit("suspended", wake_at=rest.wake_at, awaiting=awaiting)
        elif rest.status in ("completed", "failed", "blocked", "cancelled"):
            error = self.journal.end.get("error")
            self.emit(rest.status, error=info(error) if error else None)
        self.flusher.tell()
        self._rested(self)

    def rest_now(self, *, stuck: bool = False) -> Rest:
        """Say how the instance rests if it rests now; `stuck`: though its code runs."""
        if self._ending and self.journal.undelivered:
            # Who has ended is never due again, to deliver them.
            return resting.at_work(self)
        made = resting.cut_off if stuck else resting.rest_of
        return self._ending or made(self)

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that no rest can interrupt."""
        gated = self.flusher.gated
        births = self.journal.births
        return bool(self.executing or gated or self.settled or self.asked or births)

    @property
    def can_go_on(self) -> bool:
        """Whether a time that is reached can be acted upon."""
        fetching = self.mailbox.is_fetching and self.receivers
        kept = self.settled or self.stopping or fetching
        return not kept and self.flusher.is_held

    def resume(self) -> None:
        """Go on after a rest, in this process, without replay, under a new lease."""
        self.borrowed = True
        self.flusher.hold(self.settings.lease)
        self.resting = None
        self.linger_until = None
        self.mailbox.outdate()
        if self.receivers or children.cancel_name(self.journal):
            self.fetch()
        self.advance_soon()

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
        if not self.over and self.resting is None:
            self.mailbox.fetch(self._fetched)

    def _look(self) -> None:
        """Read the inbox just in case; if that fails the next look will do."""
        if not self.over and self.resting is None:
            self.mailbox.fetch(lambda _: self.advance())

    def _fetched(self, error: BaseException | None) -> None:
        if error is not None:
            self.give_up(StoreUnavailable(f"{self}: its inbox: {error}"))
        self.advance()

    # --- cancellation ---------------------------------------------------------------

    def cancel(self) -> None:
        """Record that the instance is to end as cancelled; then tell the body."""
        if self.over or self._ending or self.journal.cancel or self.journal.undo:
            return
        now = self.journal.tick()
        self.journal.set_record("cancel", {"at": now, "from": "running"})
        self.flusher.when_durable(self.journal.mark, self._accept_cancel)
        self.advance_soon()

    def _accept_cancel(self) -> None:
        self._is_cancelled = True

    def _cancel_body(self) -> None:
        self.cancelling = True
        if self.task is not None:
            self.task.cancel()

    # --- eviction and the end -------------------------------------------------------

    def stop(self, grace: float, heed: float = HEED_SECONDS) -> None:
        """Suspend at the next durable point; said again, what is shorter holds.

        Steps get `grace` seconds to end, and then `heed` more to clean up.
        """
        if self.over:
            return
        if self.eviction is None:
            self.eviction = Eviction(self, grace, heed)
        else:
            self.eviction.tighten(grace, heed)
        self.advance_soon()

    @property
    def stopping(self) -> bool:
        """Whether it is to rest before its time."""
        return self.eviction is not None

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
                if resting.names_of(self):
                    self.mailbox.expect(self.settings.poll, self._look)
            when = resting.next_time(self)
            if when is not None:
                self._alarm = self.clock.call_at(when, self.advance)
