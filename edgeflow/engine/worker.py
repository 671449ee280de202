"""Many instances in one process: open, drive, park, wake, drain."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edgeflow.engine import eager, listening, opening
from edgeflow.engine.arming import arm_at
from edgeflow.engine.attending import DRAINED, Attendance
from edgeflow.engine.bells import Bells
from edgeflow.engine.committing import sleep
from edgeflow.engine.due import Due
from edgeflow.engine.evicting import HEED_SECONDS
from edgeflow.engine.inbox import Inbox
from edgeflow.engine.openings import Openings
from edgeflow.engine.parking import Parking
from edgeflow.engine.plan import Plan, refused
from edgeflow.engine.poller import Poller
from edgeflow.engine.retention import Retention
from edgeflow.engine.run import Run
from edgeflow.engine.scope import show
from edgeflow.engine.waiters import Waiters
from edgeflow.engine.waking import go_on, wake
from edgeflow.errors import (
    BodyError,
    EdgeflowError,
    ErrorInfo,
    Fenced,
    JournalDamaged,
    ProcessEnding,
    StoreError,
)
from edgeflow.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from edgeflow.engine.journal import Journal
    from edgeflow.engine.wiring import Wiring
    from edgeflow.store import Loaded

log = logging.getLogger("edgeflow")


class Worker:
    """The runs of one process."""

    def __init__(self, wiring: Wiring, plan: Plan) -> None:
        """Work on one store; `serve` makes it look for work by itself."""
        self.wiring = wiring
        self.plan = plan
        self.serving = False
        self.bells = Bells(wiring.clock)
        self._clock = wiring.clock
        self._at_rest = self._rested  # each `self._rested` would be a new object
        self.runs: dict[str, Run] = {}
        self.parking = Parking(wiring, plan.max_parked, self.ring)
        self.openings = Openings()
        self._waiters = Waiters()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.poller = Poller(self)
        self.attendance = Attendance(self)
        self.retention = Retention(wiring, plan.keep_finished)
        self.due = Due(self)
        self.waking = 0
        """How many runs are about to go on."""
        self.rung: set[str] = set()
        """What has something to do, by what this process knows, and is not driven."""
        self.drains = 0
        """How many drains are under way: of who leaves, and of the process's end."""
        self.is_shut = False
        """Whether the process ends, so that nothing is run any more."""
        self.revising: Counter[str] = Counter()
        """Instances that this process changes from outside, and so may fence itself."""

    # --- driving --------------------------------------------------------------

    async def start(
        self,
        instance: str,
        workflow: str,
        value: Any,
        *,
        run: bool,
        replaces: Loaded | None = None,
    ) -> None:
        """Make a new instance durable; with `run`, open it here at once.

        Raises:
            Fenced: if the id is taken, or by another one than it replaces.
        """
        self.check_open(instance)
        await self.openings.over(instance)
        lease = self.plan.lease if run else None
        started = opening.start(
            self.wiring,
            instance,
            workflow,
            value,
            token=self.plan.token(),
            lease=lease,
            replaces=replaces,
        )
        creating = self._create(started, run=run)
        await self.openings.share(instance, creating, is_new=True)

    async def _create(
        self, started: Coroutine[Any, Any, Journal], *, run: bool
    ) -> Run | Outcome[Any]:
        journal = await started
        return self._begin(journal, None) if run else Outcome("pending")

    async def drive(
        self,
        instance: str,
        deadline: float | None = None,
        *,
        take_over: bool = True,
    ) -> Outcome[Any]:
        """Run an instance here until it is finished or suspended.

        Without `take_over`, one that another process runs is left to it, as long as
        it holds its lease.

        Raises:
            Fenced: if another process took it over.
            UnknownInstance: if there is none.
            StoreUnavailable: if it could not be flushed.
        """
        self.check_open(instance)
        await self.openings.created(instance)
        began, run = self._clock.now(), self.runs.get(instance)
        if run is None and (heard := self.attendance.heard(instance)):
            return heard
        if run is None:
            load = self._load(instance, take_over=take_over)
            found = await self.openings.share(instance, load)
            if isinstance(found, Outcome):
                return found
            run = found
        elif run.resting is not None and not await wake(self, run):
            if not run.over:
                return self.plan.outcome_of(run)
            return await self.drive(instance, deadline, take_over=take_over)
        alarm = self.plan.stop_before(run, began, deadline)
        try:
            return await self.next_outcome(run)
        finally:
            if alarm is not None:
                alarm.cancel()

    def check_open(self, instance: str) -> None:
        """Refuse to run anything in a process that ends.

        Raises:
            ProcessEnding: if it does.
        """
        if self.is_shut:
            raise ProcessEnding(f"instance {instance!r}")

    def ring(self, name: str) -> None:
        """Tell that something happened to this instance or address: look at it."""
        self.bells.ring(name)
        # An opening may have looked into the inbox already.
        self.openings.then(name, lambda: self.ring(name))
        run = self.runs.get(name)
        if run is None or run.over or self.drains:
            return
        if run.resting is None:
            listening.fetch(run)
        elif self.serving and not (self.parking.resumes and self.due.room()):
            self.poller.look_soon()  # it may be another process's by now
        elif self._keeps(run):
            self.rung.add(name)
            self._spawn(go_on(self, run))

    # --- opening and resuming ---------------------------------------------------

    async def _load(self, instance: str, *, take_over: bool) -> Run | Outcome[Any]:
        try:
            journal, loaded = await opening.load(
                self.wiring, instance, self.plan.token()
            )
        except JournalDamaged as error:
            return Outcome(
                "blocked", error=ErrorInfo("JournalDamaged", str(error), None)
            )
        self.attendance.families.meet(journal)
        inbox = Inbox(loaded.messages)
        outcome = opening.settled(journal, inbox)
        if outcome is not None:
            await self.due.pass_over(loaded.head, outcome)
            return self.plan.decoded(journal, outcome)
        held = not journal.header["resting"] and loaded.head.lease > self._clock.now()
        if held and not take_over:  # its owner may have died, or not see a message
            await arm_at(journal, loaded.head.lease)
            return Outcome("running", wake_at=loaded.head.lease)
        trouble = await opening.take_over(journal, self.plan.lease)
        return self._begin(journal, inbox, trouble)

    def _begin(
        self, journal: Journal, inbox: Inbox | None, trouble: ErrorInfo | None = None
    ) -> Run:
        workflow: str = journal.start["workflow"]
        body = self.plan.body(workflow)
        if trouble is not None:
            body = refused(BodyError(trouble.message))
        run = Run(journal, body, self.plan.settings(workflow), inbox, self._at_rest)
        self.runs[run.id] = run
        asyncio.get_running_loop().call_soon(run.advance)
        return run

    # --- rest ---------------------------------------------------------------------

    def _rested(self, run: Run) -> None:
        """Take note that a run came to rest, ended, or was given up."""
        self.poller.room()
        if run.failure is not None:
            self._forget(run)
            ours = isinstance(run.failure, Fenced) and self.revising[run.id] > 0
            self._answer(run.id, Outcome("pending") if ours else run.failure)
            return
        if run.borrowed:
            self._spawn(self._give_back(run))
        if run.finished or run.stopping or not self._keeps(run):
            self.drop(run)
        else:
            for other in self.parking.park(run):
                self.drop(other)
        if self.attendance.rested(run) or self._waiters.any(run.id):
            self._answer(run.id, self.plan.outcome_of(run))
        else:
            self.bells.ring(run.id)

    def put_off(self, run: Run) -> bool:
        """Drop a run for which nobody waits; False: it has to come to rest first."""
        if self._keeps(run) or self._waiters.any(run.id):
            return True
        if run.resting is None:
            return False
        self.drop(run)
        return True

    def _keeps(self, run: Run) -> bool:
        serving = self.serving and not self.drains
        return serving or self.attendance.is_given_to(run.id)

    async def _give_back(self, run: Run) -> None:
        run.borrowed = False
        with suppress(StoreError):  # the lease ends by itself
            await self.parking.renew(run, 0.0)
        if self.serving:
            self.poller.look_soon()

    def drop(self, run: Run) -> None:
        """Put a run away; another process may go on with its instance."""
        run.put_away()
        self._forget(run)

    def _forget(self, run: Run) -> None:
        self.parking.leave(run)
        self.rung.discard(run.id)
        if self.runs.get(run.id) is run:
            del self.runs[run.id]

    async def next_outcome(self, run: Run) -> Outcome[Any]:
        """Wait until a run rests, has ended, or was given up.

        Raises:
            Fenced: if another process took it over.
            StoreUnavailable: if it could not be flushed.
        """
        if run.failure is not None:
            raise run.failure
        if run.resting is not None:
            return self.plan.outcome_of(run)
        return await self._waiters.wait(run.id)

    def _answer(self, instance: str, answer: Outcome[Any] | BaseException) -> None:
        if not self._waiters.answer(instance, answer) and instance not in self.runs:
            self.attendance.keep(instance, answer)
        self.bells.ring(instance)

    # --- serving ------------------------------------------------------------------

    def serve(self) -> None:
        """From now on look for due instances, and keep parked ones in memory."""
        self.serving = True
        self.poller.start()

    def spawn_drive(self, instance: str, *, take_over: bool = True) -> None:
        """Drive an instance in the background; what goes wrong is logged."""
        self._spawn(self.drive_quietly(instance, take_over=take_over))

    def under_way(self, instance: str) -> list[tuple[str, int, float]]:
        """List the steps that an instance executes here now.

        Each as its path, the attempt, and since when in s since the epoch.
        """
        run = self.runs.get(instance)
        ops = [] if run is None or run.over else list(run.executing.values())
        return [
            (show(op.path), op.number, op.attempt.began) for op in ops if op.attempt
        ]

    # --- outsiders ------------------------------------------------------------------

    def overtaken(self, journal: Journal) -> None:
        """Put away what runs here of an instance that was changed from outside."""
        run, rest = self.runs.get(journal.instance), journal.written
        if rest is not None and run is not None and run.journal.seq < journal.seq:
            self.drop(run)
            self._waiters.answer(run.id, Outcome(rest.status))
        self.bells.ring(journal.instance)
        self.poller.look_soon()

    def forget(self, instance: str) -> None:
        """Put an instance away that was deleted."""
        run = self.runs.get(instance)
        if run is not None:
            run.give_up(Fenced(instance))

    async def drive_quietly(
        self,
        instance: str,
        deadline: float | None = None,
        *,
        take_over: bool = True,
    ) -> Outcome[Any] | None:
        """Drive an instance; what goes wrong is logged, and gives None."""
        try:
            return await self.drive(instance, deadline, take_over=take_over)
        except ProcessEnding:
            if take_over:  # it was claimed
                await self.due.give_back(instance)
        except (Fenced, StoreError) as error:
            log.warning("instance %r goes on elsewhere or later: %s", instance, error)
        except EdgeflowError:
            log.exception("instance %r could not be driven", instance)
        finally:
            self.due.claimed.discard(instance)
            self.poller.room()  # it may have ended without a run that rested
        return None

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = eager.start(work, asyncio.get_running_loop())
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # --- the end --------------------------------------------------------------------

    async def shut(self) -> None:
        """Drain for good, because the process ends: nothing is run any more."""
        self.is_shut = True
        self.bells.ring_all()
        heed = self.plan.reserve / 2
        await self.drain(heed)

    def hurry(self) -> None:
        """Give running steps no more time."""
        for run in list(self.runs.values()):
            run.stop(0.0, self.plan.reserve / 2)

    async def drain(self, heed: float = HEED_SECONDS) -> None:
        """Suspend everything, each at its next durable point, and put it away."""
        self.drains += 1
        try:
            await self._drain(heed)
        finally:
            self.serving = False
            self.drains -= 1
            self.bells.ring(DRAINED)
        await sleep(self._clock, 0)

    async def _drain(self, heed: float) -> None:
        for run in list(self.runs.values()):
            if run.resting is not None:
                self.drop(run)
            else:
                run.stop(self.plan.grace, heed)
        await self.poller.stop()
        while self.runs or self.openings.tasks or self._tasks:
            for run in list(self.runs.values()):
                run.stop(self.plan.grace, heed)
            pending = [self.next_outcome(run) for run in self.runs.values()]
            others = (*self.openings.tasks.values(), *self._tasks)
            await asyncio.gather(*pending, *others, return_exceptions=True)
            await asyncio.sleep(0)  # what is done already yields to nobody

    async def settle(self) -> None:
        """Wait until nothing of ours is under way beside the runs."""
        while others := (*self.openings.tasks.values(), *self._tasks):
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)  # what is done already yields to nobody
        await self.plan.observers.settle()
