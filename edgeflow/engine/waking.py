"""Waking what a worker has kept in memory: its lease is taken, and it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeflow.engine.run import Run
    from edgeflow.engine.worker import Worker


async def wake(worker: Worker, run: Run) -> bool:
    """Resume a run that has something to do; False: it has not, or is lost."""
    parking, lease = worker.parking, worker.plan.lease
    has_cause = run.id in worker.due.claimed or run.id in worker.rung
    worker.rung.discard(run.id)
    if not has_cause and not await parking.has_cause(run):
        return run.resting is None and not run.over
    unread = None
    if parking.resumes:
        unread = await parking.resume(run, lease)
        ours = unread is not None
    else:
        ours = await parking.renew(run, lease)
    if run.over and ours:  # dropped meanwhile: others may run it at once
        await parking.renew(run, 0.0)
    if run.over or run.resting is None:
        return not run.over
    if not ours:
        worker.drop(run)
        return False
    parking.leave(run)
    run.resume(unread)
    return True
