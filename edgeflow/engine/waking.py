"""Waking what a worker has kept in memory: its lease is taken, and it goes on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edgeflow.engine import listening
from edgeflow.engine.committing import insist
from edgeflow.errors import StoreError

if TYPE_CHECKING:
    from edgeflow.engine.run import Run
    from edgeflow.engine.worker import Worker


log = logging.getLogger("edgeflow")


async def go_on(worker: Worker, run: Run) -> None:
    """Let a run go on that is kept here, or drive its instance anew."""
    worker.waking += 1
    try:
        woken = await wake(worker, run)
    except StoreError as error:
        log.warning("instance %r goes on elsewhere or later: %s", run.id, error)
        return
    finally:
        worker.waking -= 1
    if woken or not run.over:
        return
    if worker.serving:
        worker.poller.look_soon()  # another process may have claimed it
    else:
        await worker.drive_quietly(run.id, take_over=False)


async def wake(worker: Worker, run: Run) -> bool:
    """Resume a run that has something to do; False: it has not, or is lost.

    Raises:
        StoreUnavailable: if the store did not answer, asked as often as for a commit.
    """
    return await insist(worker.wiring.clock, lambda: _wake(worker, run), str(run))


async def _wake(worker: Worker, run: Run) -> bool:
    if run.over:
        return False
    if run.resting is None:  # by another ring; this one is newer
        listening.fetch(run)
        return True
    return await _resume(worker, run)


async def _resume(worker: Worker, run: Run) -> bool:
    parking, lease = worker.parking, worker.plan.lease
    has_cause = run.id in worker.due.claimed or run.id in worker.rung
    worker.rung.discard(run.id)
    if not has_cause and not await parking.has_cause(run):
        return run.resting is None and not run.over
    unread, rest, since = None, run.resting, worker.wiring.clock.now()
    if parking.resumes:
        unread = await parking.resume(run, lease)
        ours = unread is not None
    else:
        ours = await parking.renew(run, lease)
    if run.over and ours:  # dropped meanwhile: others may run it at once
        await parking.renew(run, 0.0)
    if run.resting is None and not run.over:  # by another ring; this one is newer
        run.borrowed |= ours
        listening.fetch(run)
        return True
    if run.over or not ours:
        worker.drop(run)
        return False
    if run.resting is not rest:  # it has gone on since it was asked, and rests again
        await parking.renew(run, 0.0)
        return await _wake(worker, run)
    if unread is not None and not parking.is_cause(run, unread):
        await parking.renew(run, 0.0)
        return run.resting is None and not run.over
    parking.leave(run)
    run.resume(unread, since)
    return True
