"""Many instances in one process: open, drive, park, wake, drain."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edgeflow.engine import opening
from edgeflow.engine.bells import Bells
from edgeflow.engine.committing import sleep, to_the_end
from edgeflow.engine.inbox import Inbox
from edgeflow.engine.parking import Parking
from edgeflow.engine.plan import Plan, refused
from edgeflow.engine.poller import Poller
from edgeflow.engine.run import Run
from edgeflow.engine.scope import show
from edgeflow.engine.waiters import Waiters
from edgeflow.errors import (
    BodyError,
    EdgeflowError,
    ErrorInfo,
    Fenced,
    JournalDamaged,
    StoreError,
)
from edgeflow.outcome import Outcome
from edgeflow.store import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from edgeflow.clock import Alarm
    from edgeflow.engine.journal import Journal, Wiring

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
        self._runs: dict[str, Run] = {}
        self._parking = Parking(wiring.clock, plan.max_parked, self.ring)
        self._attended: defaultdict[str, int] = defaultdict(int)
        self._opening: dict[str, asyncio.Task[Run | Outcome[Any]]] = {}
        self._waiters = Waiters()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._poller = Poller(self)
        self._draining = False

    # --- driving --------------------------------------------------------------

    async def start(
        self,
        instance: str,
        workflow: str,
        value: Any,
        *,
        run: bool,
    ) -> None:
        """Make a new instance durable; with `run`, open it here at once.

        Raises:
            Fenced: if the id is taken.
        """
        while (other := self._opening.get(instance)) is not None:
            await asyncio.wait([other])
        await self._open(instance, self._create(instance, workflow, value, run=run))

    async def _create(
        self, instance: str, workflow: str, value: Any, *, run: bool
    ) -> Run | Outcome[Any]:
        lease = self.plan.lease if run else None
        token = self.plan.token()
        journal = await opening.start(
            self.wiring, instance, workflow, value, token=token, lease=lease
        )
        return self._begin(journal, None) if run else Outcome("pending")

    async def drive(
        self,
        instance: str,
        deadline: float | None = None,
        *,
        take_over: bool = True,
    ) -> Outcome[Any]:
        """Run an instance here until it is finished or suspended.

        Without `take_over`, one that another process runs is left to it.

        Raises:
            Fenced: if another process took it over.
            UnknownInstance: if there is none.
            StoreUnavailable: if it could not be flushed.
        """
        began, run = self._clock.now(), self._runs.get(instance)
        if run is None:
            load = self._load(instance, take_over=take_over)
            found = await self._open(instance, load)
            if isinstance(found, Outcome):
                return found
            run = found
        elif run.resting is not None and not await self._wake(run):
            if not run.over:
                return self.plan.outcome_of(run)
            return await self.drive(instance, deadline, take_over=take_over)
        alarm = self._set_deadline(run, began, deadline)
        try:
            return await self._next_outcome(run)
        finally:
            if alarm is not None:
                alarm.cancel()

    def _set_deadline(
        self, run: Run, began: float, deadline: float | None
    ) -> Alarm | None:
        if deadline is None:
            return None
        grace = min(self.plan.grace, deadline / 5)
        cut = began + deadline - self.plan.margin
        return self._clock.call_at(cut - grace, lambda: run.stop(grace))

    async def attend(self, instance: str) -> Outcome[Any]:
        """Drive an instance to its end, staying here over its waits.

        Raises:
            Fenced: if another process took it over.
            StoreUnavailable: if it could not be flushed.
        """
        self._attended[instance] += 1
        try:
            while True:
                outcome = await self.drive(instance)
                if outcome.status in TERMINAL or outcome.status == "blocked":
                    return outcome
                await self._until_due(instance, outcome)
        finally:
            self._attended[instance] -= 1
            if not self._attended[instance]:
                del self._attended[instance]
            await to_the_end(self._leave(instance))

    async def _leave(self, instance: str) -> None:
        """Put a run away that nobody waits for any more, at its next durable point."""
        run = self._runs.get(instance)
        if run is None or self._keeps(run) or self._waiters.any(instance):
            return
        if run.resting is not None:
            self._drop(run)
        else:
            run.stop(self.plan.grace)
            with suppress(Fenced, StoreError):  # the run is given up, and logs it
                await self._next_outcome(run)

    async def _until_due(self, instance: str, outcome: Outcome[Any]) -> None:
        """Wait for the wake time, a message from this process, or the next look."""
        now = self._clock.now()
        when = now + self.plan.poll
        if outcome.wake_at is not None:
            when = min(when, outcome.wake_at) if outcome.awaiting else outcome.wake_at
        elif not outcome.awaiting and outcome.status == "suspended":
            when = now  # evicted: due at once
        idle = outcome.wake_at is None or when < outcome.wake_at
        await self.bells.wait(instance, max(0.0, when - now), idle=idle)

    def ring(self, name: str) -> None:
        """Tell that something happened to this instance or address: look at it."""
        self.bells.ring(name)
        opening = self._opening.get(name)
        if opening is not None:  # it may have looked into the inbox already
            opening.add_done_callback(lambda _: self.ring(name))
        run = self._runs.get(name)
        if run is None or run.over or self._draining:
            return
        if run.resting is None:
            run.fetch()
        elif self._keeps(run):
            self.spawn_drive(name, take_over=False)

    # --- opening and resuming ---------------------------------------------------

    async def _open(
        self, instance: str, work: Coroutine[Any, Any, Run | Outcome[Any]]
    ) -> Run | Outcome[Any]:
        """Open an instance once for all who ask, though each of them be cancelled."""
        task = self._opening.get(instance)
        if task is None:
            task = asyncio.get_running_loop().create_task(work)
            self._opening[instance] = task
            task.add_done_callback(lambda _: self._opening.pop(instance, None))
        else:
            work.close()
        return await asyncio.shield(task)

    async def _load(self, instance: str, *, take_over: bool) -> Run | Outcome[Any]:
        try:
            journal, loaded = await opening.load(
                self.wiring, instance, self.plan.token()
            )
        except JournalDamaged as error:
            return Outcome(
                "blocked", error=ErrorInfo("JournalDamaged", str(error), None)
            )
        inbox = Inbox(loaded.messages)
        outcome = opening.settled(journal, inbox)
        if outcome is not None:
            return self.plan.decoded(journal, outcome)
        if journal.status == "running" and not take_over:
            return Outcome("running")
        trouble = await opening.take_over(journal, self.plan.lease)
        return self._begin(journal, inbox, trouble)

    def _begin(
        self, journal: Journal, inbox: Inbox | None, trouble: ErrorInfo | None = None
    ) -> Run:
        workflow: str = journal.start["workflow"]
        body = self.plan.body(workflow)
        if trouble is not None:
            body = refused(BodyError(trouble.message))
        run = Run(journal, body, self.plan.settings(workflow), inbox, self._rested)
        self._runs[run.id] = run
        asyncio.get_running_loop().call_soon(run.advance)
        return run

    async def _wake(self, run: Run) -> bool:
        """Resume a run that has something to do; False: it has not, or is lost."""
        if not await self._has_cause(run):
            return run.resting is None and not run.over
        now, journal = self._clock.now(), run.journal
        with self._clock.busy():
            ours = await self.wiring.store.renew(
                run.id, journal.token, now, self.plan.lease
            )
        if run.over or run.resting is None:
            return not run.over
        if not ours:
            self._drop(run)
            return False
        self._parking.leave(run)
        run.resume()
        return True

    async def _has_cause(self, run: Run) -> bool:
        rest, now = run.resting, self._clock.now()
        if rest is None or (rest.wake_at is not None and rest.wake_at <= now):
            return True
        if not run.receivers:
            return False
        with self._clock.busy():
            unread = await self.wiring.store.unread(run.id)
        visible = Inbox(unread).visible_at(rest.awaiting)
        return visible is not None and visible <= self._clock.now()

    # --- rest ---------------------------------------------------------------------

    def _rested(self, run: Run) -> None:
        """Take note that a run came to rest, ended, or was given up."""
        if run.failure is not None:
            self._forget(run)
            self._answer(run.id, run.failure)
            return
        outcome = self.plan.outcome_of(run)
        if run.borrowed:
            self._spawn(self._give_back(run))
        if run.finished or run.stopping or not self._keeps(run):
            self._drop(run)
        else:
            for other in self._parking.park(run):
                self._drop(other)
        self._answer(run.id, outcome)

    def _keeps(self, run: Run) -> bool:
        serving = self.serving and not self._draining
        return serving or self._attended.get(run.id, 0) > 0

    async def _give_back(self, run: Run) -> None:
        run.borrowed = False
        now, token = self._clock.now(), run.journal.token
        try:
            with self._clock.busy():
                await self.wiring.store.renew(run.id, token, now, 0.0)
        except StoreError:
            return  # the lease ends by itself

    def _drop(self, run: Run) -> None:
        run.put_away()
        self._forget(run)

    def _forget(self, run: Run) -> None:
        self._parking.leave(run)
        if self._runs.get(run.id) is run:
            del self._runs[run.id]

    async def _next_outcome(self, run: Run) -> Outcome[Any]:
        if run.failure is not None:
            raise run.failure
        if run.resting is not None:
            return self.plan.outcome_of(run)
        return await self._waiters.wait(run.id)

    def _answer(self, instance: str, answer: Outcome[Any] | BaseException) -> None:
        self._waiters.answer(instance, answer)
        self.bells.ring(instance)

    # --- serving ------------------------------------------------------------------

    def serve(self) -> None:
        """From now on look for due instances, and keep parked ones in memory."""
        self.serving = True
        self._poller.start()

    def spawn_drive(self, instance: str, *, take_over: bool = True) -> None:
        """Drive an instance in the background; what goes wrong is logged."""
        self._spawn(self._drive_quietly(instance, take_over=take_over))

    async def claim(self, limit: int, since: float | None = None) -> list[str]:
        """Take instances that are due now, or since some time."""
        busy = sum(1 for run in self._runs.values() if run.resting is None)
        free = min(limit, self.plan.max_running - busy)
        if free <= 0:
            return []
        wiring = self.wiring
        now = self._clock.now()
        when = now if since is None else since
        lease = self.plan.lease + now - when
        with self._clock.busy():
            found = await wiring.store.claim(when, free, lease, wiring.worker)
        return list(found)

    async def drive_all(self, instances: list[str]) -> list[Outcome[Any]]:
        """Drive some instances; one that cannot be driven does not stop the others."""
        outcomes = await asyncio.gather(*map(self._drive_quietly, instances))
        return [outcome for outcome in outcomes if outcome is not None]

    def under_way(self, instance: str) -> list[tuple[str, int, float]]:
        """List the steps that an instance executes here now.

        Each as its path, the attempt, and since when in s since the epoch.
        """
        run = self._runs.get(instance)
        ops = [] if run is None or run.over else list(run.executing.values())
        return [
            (show(op.path), op.number, op.attempt.began) for op in ops if op.attempt
        ]

    def forget(self, instance: str) -> None:
        """Put an instance away that was deleted."""
        run = self._runs.get(instance)
        if run is not None:
            run.give_up(Fenced(instance))

    async def _drive_quietly(
        self, instance: str, *, take_over: bool = True
    ) -> Outcome[Any] | None:
        try:
            return await self.drive(instance, take_over=take_over)
        except (Fenced, StoreError) as error:
            log.warning("instance %r goes on elsewhere or later: %s", instance, error)
        except EdgeflowError:
            log.exception("instance %r could not be driven", instance)
        return None

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Suspend everything, each at its next durable point, and put it away."""
        self._draining = True
        await self._poller.stop()
        for run in list(self._runs.values()):
            if run.resting is not None:
                self._drop(run)
            else:
                run.stop(self.plan.grace)
        while self._runs or self._opening or self._tasks:
            pending = [self._next_outcome(run) for run in self._runs.values()]
            await asyncio.gather(
                *pending, *self._opening.values(), *self._tasks, return_exceptions=True
            )
            await asyncio.sleep(0)  # what is done already yields to nobody
            for run in list(self._runs.values()):
                run.stop(self.plan.grace)
        self.serving = self._draining = False
        await sleep(self._clock, 0)
