"""Run: drives one instance from its opening to suspension or its end.

`advance` is the heart. It is called within callbacks of the host's loop, whenever
something happened: a step ended, a flush was written, a message came, a time was
reached. It does all that can be done now, in one fixed order, and returns; there is
one place where the instance comes to rest.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from edgeflow.engine import cancelling, children, ending, listening, resting
from edgeflow.engine.desk import Desk
from edgeflow.engine.evicting import HEED_SECONDS, Eviction
from edgeflow.engine.failures import info
from edgeflow.engine.flushing import Flusher
from edgeflow.engine.inbox import Inbox, Mailbox, shown
from edgeflow.engine.loop import make_loop
from edgeflow.engine.operation import NO_OPERATIONS
from edgeflow.engine.ops.step import NO_STEPS
from edgeflow.engine.pacing import Pace
from edgeflow.engine.queues import NOTHING
from edgeflow.engine.scope import scope
from edgeflow.engine.undo import undo_all
from edgeflow.errors import BodyError, DefinitionError, ValueRefused
from edgeflow.store import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeflow.engine.composing import Rest
    from edgeflow.engine.journal import Journal
    from edgeflow.engine.settings import Body, Settings
    from edgeflow.store import Envelope

log = logging.getLogger("edgeflow")

SLICE = 256
"""Deliveries of a replay after which the host's loop may turn."""
BEGIN_COST = 64
"""How many of them the beginning of a live operation counts for."""
SLICE_SECONDS = 0.005
"""After which nothing more begins before the host's loop has turned."""


class Run(Desk):
    """One instance in this process, under a token of its own."""

    __slots__ = (
        "_begin",
        "_ending",
        "_rested",
        "borrowed",
        "encode_output",
        "eviction",
        "failure",
        "find_undo",
        "has_stepped",
        "host",
        "is_cancelled",
        "mailbox",
        "pace",
        "resting",
        "task",
        "was_interrupted",
    )

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
        self.body = make_loop(self, journal.start["at"], journal.start["birth"])
        self.failure: BaseException | None = None
        """Why the run was given up: Fenced, StoreUnavailable."""
        self.resting: Rest | None = None
        """How the instance rests, once it does."""
        self.borrowed = False
        """Whether the lease was taken without a flush that would give it back."""
        self._begin = body.begin
        self._rested = rested
        self.host = asyncio.get_running_loop()
        self.flusher = Flusher(self)
        self.task: asyncio.Task[Any] | None = None
        self._ending: Rest | None = None
        self.eviction: Eviction | None = None
        self.was_interrupted = False
        """Whether ^C was felt in the body: that is nothing that the body did."""
        self.is_cancelled = bool(journal.cancel)
        """Whether it is durable that the instance is to be cancelled."""
        self.has_stepped = False
        """Whether a step has begun and ended while the loop stood still."""
        self.pace = Pace(self)

    # --- the heart ------------------------------------------------------------

    def advance(self) -> None:
        """Do all that can be done now. Call it within a callback of the host's loop."""
        self.pace.begun()
        if self.over:
            return
        try:
            try:
                with self.journal.wholeness:
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
            self.pace.set()

    def advance_soon(self) -> None:
        """Have `advance` called from a callback of its own."""
        self.pace.soon()

    def _turn(self) -> None:  # noqa: C901, PLR0911, PLR0912, PLR0915  one decision after the other, in one place
        self.resting = None
        if self.task is None and not self._ending:
            known = self.journal.cancel.get("from") in {"pending", "blocked"}
            if known and not self.journal.undo:
                return self._end()  # its body is not entered (any more)
            self.task = self._start()
        left, wholeness = SLICE, self.journal.wholeness
        until = self.host.time() + SLICE_SECONDS
        while left > 0 and not self.over:
            left -= 1
            if self.body.ready:
                depth = wholeness.lend()
                try:
                    self.body.run_until_idle()
                finally:
                    wholeness.take_back(depth)
            if self.was_interrupted:
                return self._stop()
            if self._ending or self.violation or (self.task and self.task.done()):
                return self._end()
            if self.journal.replay:
                self.deliver(self.journal.replay.popleft())
            elif self.cancelling:
                return self._end()  # whatever the body still waits for
            elif self.is_cancelled:
                cancelling.cancel_body(self)
            elif self.eviction is not None:
                return self._stop()
            elif self.mailbox.has_news and children.heed(self):
                continue
            elif self.asked and not (self.journal.cancel and not self.journal.undo):
                left -= BEGIN_COST
                if self.is_verified and not self.journal.kept:
                    op = self.asked.popleft()
                    if self.waiting.get(op.key) is op:
                        op.begin(self)
                else:
                    self.begin(self.next_asked())
                if self.host.time() > until:
                    left = 0
            elif gate := self.flusher.open_gate():
                gate()
            elif self.has_stepped:  # at once: what else there is has its turn as well
                self.has_stepped = False
                if (self.receivers or self.timers) and self.flusher.is_held:
                    self._take_what_came()
                self.flusher.flush_if_due()
            elif self.settled:
                if self.settled[0][1] > self.journal.durable or self.flusher.overfull:
                    if not self.flusher.flush():
                        return None
                else:
                    self.deliver(self.settled.popleft()[0])
            elif self.flusher.is_held and self._take_what_came():
                continue
            elif self.journal.births and not self.executing:
                if not self.flusher.flush():
                    return None
            elif self.is_busy or self.mailbox.is_fetching:
                self.linger_until = None
                if not self.flusher.flush_if_due():
                    return None
            else:
                return self._suspend()
        if not self.over:
            self.advance_soon()
        return None

    def _start(self) -> asyncio.Task[Any]:
        begin = self._begin
        if self.journal.undo:
            ending.leave_body(self)
            self.is_cancelled, begin = False, undo_all
        context = copy_context()
        context.run(scope.set, self.root)
        return self.body.create_task(begin(self), context=context)

    def _take_what_came(self) -> bool:
        """Record a message, or a time that is reached; tell whether there was one."""
        if listening.receive(self):
            return True
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
                self._flush()
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
                self._flush()  # who has ended is never due again
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
            self._flush(None if self._ending else rest)
            return False
        return True

    def _flush(self, rest: Rest | None = None) -> None:
        """Flush, and then go on."""
        if self.flusher.flush(rest):
            self.advance_soon()

    def _come_to_rest(self, rest: Rest) -> None:
        self.resting = rest
        self.asked = self.settled = self.journal.replay = NOTHING
        self.unawaited = self.unawaited or NO_OPERATIONS  # emptied, it keeps its room
        self.executing = self.executing or NO_STEPS
        if rest.status == "suspended":
            awaiting = shown(rest.awaiting)
            self.emit("suspended", wake_at=rest.wake_at, awaiting=awaiting)
        elif rest.status in ("completed", "failed", "blocked", "cancelled"):
            error = self.journal.end.get("error")
            self.emit(rest.status, error=info(error) if error else None)
        self.flusher.tell()
        self.flusher.shrink()
        self.mailbox.forget()
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

    def resume(self, unread: Sequence[Envelope] | None, since: float) -> None:
        """Go on without replay, by a lease of `since`; `unread` None: read it first."""
        self.borrowed = True
        self.flusher.hold(self.settings.lease, since)
        self.resting = None
        self.linger_until = None
        if unread is not None:
            self.mailbox.refresh(unread)
            self.advance_soon()
            return
        self.mailbox.outdate()
        if self.receivers or children.cancel_name(self.journal):
            listening.fetch(self)
        self.advance_soon()

    @property
    def finished(self) -> bool:
        """Whether the instance has ended, or is blocked, and this is durable."""
        rest = self.resting
        return rest is not None and (
            rest.status in TERMINAL or rest.status == "blocked"
        )

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
    def is_ending(self) -> bool:
        """Whether it is recorded how it ends."""
        return self._ending is not None

    @property
    def stopping(self) -> bool:
        """Whether it is to rest before its time."""
        return self.eviction is not None

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
        self.pace.stop()
        self.mailbox.close()
        ending.stop_steps(self)
        self.host.call_soon(ending.close_body, self)
