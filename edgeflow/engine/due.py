"""What is due: claim it, and drive it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edgeflow.errors import Fenced, StoreError

if TYPE_CHECKING:
    from edgeflow.engine.worker import Worker
    from edgeflow.outcome import Outcome
    from edgeflow.store import Head

BATCH = 100
"""How many instances are claimed at once."""


class Due:
    """The due instances of a store, for one worker."""

    def __init__(self, worker: Worker) -> None:
        """Claim for `worker`."""
        self._worker = worker
        self.claimed: set[str] = set()
        """What was claimed, and is not driven yet."""

    async def run(
        self, limit: int | None, deadline: float | None
    ) -> list[Outcome[Any]]:
        """Drive every instance once that is due now.

        Args:
            limit: how many at most; None: all.
            deadline: seconds from now before which those that run are suspended; none
                is claimed that would have no time.
        """
        worker = self._worker
        outcomes: list[Outcome[Any]] = []
        clock = worker.wiring.clock
        left, since = limit, clock.now()
        until = None if deadline is None else since + deadline
        while left is None or left > 0:
            time_left = None if until is None else until - clock.now()
            if time_left is not None and time_left <= worker.plan.margin:
                break
            found = await self.claim(BATCH if left is None else min(left, BATCH), since)
            if not found:
                break
            outcomes += await self._drive_all(found, time_left)
            left = None if left is None else left - len(found)
        await worker.retention.sweep()
        return outcomes

    def room(self) -> int:
        """Tell how many more instances may run here now: opened ones run soon."""
        worker = self._worker
        busy = len(worker.runs) - len(worker.parking) + worker.waking
        opening = sum(each not in worker.runs for each in worker.openings.tasks)
        return max(worker.plan.max_running - busy - opening, 0)

    async def claim(self, limit: int, since: float | None = None) -> list[str]:
        """Take instances that are due now, or since some time."""
        worker = self._worker
        free = min(limit, self.room())
        if worker.is_shut or free <= 0:
            return []
        wiring = worker.wiring
        now = wiring.clock.now()
        when = now if since is None else since
        lease = worker.plan.lease + now - when
        with wiring.clock.busy():
            found = list(await wiring.store.claim(when, free, lease, wiring.worker))
        self.claimed.update(found)
        for instance in found:
            with suppress(StoreError):  # the lease ends by itself
                await self._heed_claim(instance)
        return found

    async def _heed_claim(self, instance: str) -> None:
        """Let what is here of an instance know that it was claimed, or drop it.

        It goes on under the new lease if it has not come to rest yet. If it has, and
        nothing to do, another process wrote, or the store's clock is ahead of ours.
        """
        worker = self._worker
        run = worker.runs.get(instance)
        if run is None or (run.resting and await worker.parking.has_cause(run)):
            return
        rest, lease, since = run.resting, worker.plan.lease, worker.wiring.clock.now()
        if rest is None:
            run.borrowed = True  # it comes to rest meanwhile, maybe
        else:
            self.claimed.discard(instance)
            lease = self._nap(rest.wake_at)
        ours = await worker.parking.renew(run, lease)
        if not ours and run.resting is not None:
            worker.drop(run)
        elif not ours and run.flusher.in_flight:
            return  # whose answer tells more: it may be the end that was written
        elif not ours:
            run.give_up(Fenced(instance))
        elif rest is None and run.resting is None:
            run.flusher.hold(lease, since)
            run.advance_soon()

    async def pass_over(self, head: Head, outcome: Outcome[Any]) -> None:
        """Let go of what was claimed and is not due: the store's clock is ahead."""
        if head.instance in self.claimed and outcome.status in {"suspended", "undoing"}:
            wiring, lease = self._worker.wiring, self._nap(outcome.wake_at)
            with suppress(StoreError), wiring.clock.busy():  # the lease ends by itself
                now = wiring.clock.now()
                await wiring.store.renew(head.instance, head.token, now, lease)

    def _nap(self, wake_at: float | None) -> float:
        """Give the seconds for which nobody claims what is not due by our clock."""
        plan, now = self._worker.plan, self._worker.wiring.clock.now()
        left = plan.poll if wake_at is None else max(wake_at - now, 0.0)
        return min(left, plan.poll, plan.lease)

    async def give_back(self, instance: str) -> None:
        """Let others run at once what was claimed here and is not opened any more."""
        wiring = self._worker.wiring
        with suppress(StoreError), wiring.clock.busy():  # the lease ends by itself
            loaded = await wiring.store.load(instance)
            if loaded is not None:
                now = wiring.clock.now()
                await wiring.store.renew(instance, loaded.head.token, now, 0.0)

    async def _drive_all(
        self, instances: list[str], deadline: float | None
    ) -> list[Outcome[Any]]:
        """Drive some instances; one that cannot be driven does not stop the others."""
        drive = self._worker.drive_quietly
        outcomes = await asyncio.gather(*(drive(each, deadline) for each in instances))
        return [outcome for outcome in outcomes if outcome is not None]
