"""Attending an instance to its end: over its waits, and its children with it."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from edgeflow.engine.children import kin
from edgeflow.engine.committing import to_the_end
from edgeflow.errors import (
    EdgeflowError,
    Fenced,
    ProcessEnding,
    StoreError,
    UnknownInstance,
)
from edgeflow.store import TERMINAL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from edgeflow.engine.journal import Journal
    from edgeflow.engine.run import Run
    from edgeflow.engine.worker import Worker
    from edgeflow.outcome import Outcome

log = logging.getLogger("edgeflow")

DRAINED = "drained"
"""The bell that rings at the end of a drain."""


class Attendance:
    """The instances to whose end somebody waits in this process."""

    def __init__(self, worker: Worker) -> None:
        """Have them driven by `worker`."""
        self.families = Families(worker, self)
        self._worker = worker
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._unheard: dict[str, Outcome[Any] | BaseException] = {}
        self._evicted: set[str] = set()
        """What was suspended before its time: it is due, whatever its timers say."""

    def __len__(self) -> int:
        return len(self._counts)

    def is_given_to(self, instance: str) -> bool:
        """Tell whether somebody here waits for the end of an instance."""
        return self._counts.get(instance, 0) > 0

    async def attend(self, instance: str, *, take_over: bool = True) -> Outcome[Any]:
        """Drive an instance to its end, with its children, staying over its waits.

        Raises:
            Fenced: if another process took it over.
            StoreUnavailable: if it could not be flushed.
            ProcessEnding: if this process is to end first.
        """
        worker = self._worker
        async with self.given(instance):
            if (run := worker.runs.get(instance)) is not None:
                self.families.meet(run.journal)
            while True:
                self._evicted.discard(instance)
                outcome = await worker.drive(instance, take_over=take_over)
                if outcome.status in TERMINAL or outcome.status == "blocked":
                    return outcome
                worker.check_open(instance)
                take_over |= self.families.is_left(instance, outcome)
                await self._until_due(instance, outcome)
                await self._until_drained()

    @asynccontextmanager
    async def given(self, instance: str) -> AsyncGenerator[None]:
        """Keep the runs of an instance in memory, over its waits; it may be new."""
        self._counts[instance] += 1
        try:
            yield
        finally:
            self._counts[instance] -= 1
            if not self._counts[instance]:
                del self._counts[instance]
                self._unheard.pop(instance, None)
                self._evicted.discard(instance)
                try:
                    await to_the_end(self.leave(instance))
                finally:
                    await to_the_end(self.families.part(instance))

    def keep(self, instance: str, answer: Outcome[Any] | BaseException) -> None:
        """Keep how a run has ended of which nobody has heard yet.

        Of one that was fenced the store knows more; one that was evicted has not ended.
        """
        if not self.is_given_to(instance) or isinstance(answer, Fenced):
            return
        if instance not in self._evicted or isinstance(answer, BaseException):
            self._unheard[instance] = answer

    def rested(self, run: Run) -> bool:
        """Take note of a run at rest; tell whether somebody here waits for its end."""
        is_given = self.is_given_to(run.id)
        if is_given and run.stopping and not run.finished:
            self._evicted.add(run.id)
        return is_given

    def heard(self, instance: str) -> Outcome[Any] | None:
        """Give how a run has ended while nobody listened, once.

        Raises:
            EdgeflowError: if it was given up.
        """
        answer = self._unheard.pop(instance, None)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _until_drained(self) -> None:
        """Wait while the worker drains: what is driven then is put away at once."""
        worker = self._worker
        while worker.drains and not worker.is_shut:
            await worker.bells.wait(DRAINED, worker.plan.poll, idle=True)

    async def _until_due(self, instance: str, outcome: Outcome[Any]) -> None:
        """Wait for the wake time, a message from this process, or the next look."""
        if instance in self._evicted:
            return
        worker = self._worker
        now = worker.wiring.clock.now()
        when = worker.plan.look_at(outcome, now)
        idle = outcome.wake_at is None or when < outcome.wake_at
        await worker.bells.wait(instance, max(0.0, when - now), idle=idle)

    async def leave(self, instance: str) -> None:
        """Put a run away that nobody waits for any more, at its next durable point."""
        worker = self._worker
        run = worker.runs.get(instance)
        if run is not None and not worker.put_off(run):
            run.stop(worker.plan.grace)
            with suppress(Fenced, StoreError):  # the run is given up, and logs it
                await worker.next_outcome(run)


class Families:
    """The children of the instances that are attended, each run to its end."""

    def __init__(self, worker: Worker, attendance: Attendance) -> None:
        """Have the children attended, too."""
        self._worker = worker
        self._attendance = attendance
        self._tasks: dict[str, dict[str, asyncio.Task[None]]] = {}
        self._elsewhere: dict[str, float] = {}
        """Since when each of those that another process runs has been run by it."""

    def born(self, parent: str, child: str, known: bool) -> None:  # noqa: FBT001  it is a Callable's
        """Take note of a child; one that was known before may be a dead process's."""
        self._worker.poller.look_soon()
        self._follow(parent, child, take_over=known)

    def meet(self, journal: Journal) -> None:
        """Take note of the children that an instance has from before.

        As the instance itself they are taken over from who runs them, or died of it.
        """
        if self._attendance.is_given_to(journal.instance):
            for child in kin(journal):
                self._follow(journal.instance, child, take_over=True)

    def is_left(self, instance: str, outcome: Outcome[Any]) -> bool:
        """Tell whether another process has run it for a lease, and not let it rest.

        It may have died, and nobody else may look for what it left behind.
        """
        if outcome.status != "running":
            self._elsewhere.pop(instance, None)
            return False
        now = self._worker.wiring.clock.now()
        since = self._elsewhere.setdefault(instance, now)
        return now - since >= self._worker.plan.lease

    async def part(self, parent: str) -> None:
        """Leave the children of an instance alone, each at its next durable point."""
        self._elsewhere.pop(parent, None)
        tasks = list(self._tasks.pop(parent, {}).values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _follow(self, parent: str, child: str, *, take_over: bool) -> None:
        if not self._attendance.is_given_to(parent):
            return
        tasks = self._tasks.setdefault(parent, {})
        if child in tasks:
            return
        work = self._attend(child, take_over=take_over)
        tasks[child] = task = asyncio.get_running_loop().create_task(work)

        def ended(task: asyncio.Task[None]) -> None:
            if tasks.get(child) is task:
                del tasks[child]
            if not task.cancelled():
                task.exception()  # seen; the parent meets the same store

        task.add_done_callback(ended)

    async def _attend(self, child: str, *, take_over: bool) -> None:
        worker = self._worker
        while True:
            try:
                await self._attendance.attend(child, take_over=take_over)
            except StoreError as error:
                log.warning("child %r goes on elsewhere or later: %s", child, error)
            except (ProcessEnding, UnknownInstance):
                return  # it goes on elsewhere, or was deleted
            except EdgeflowError:
                log.exception("child %r could not be driven", child)
                return
            else:
                return
            take_over = False
            await worker.bells.wait(child, worker.plan.poll, idle=True)
