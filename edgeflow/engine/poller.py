"""Looking for due instances, as long as a worker serves."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from edgeflow.errors import StoreError

if TYPE_CHECKING:
    from edgeflow.engine.worker import Worker

log = logging.getLogger("edgeflow")


class Poller:
    """Claims what is due, at each interval and whenever its bell rings."""

    def __init__(self, worker: Worker) -> None:
        """Claim for `worker`."""
        self._worker = worker
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._poll())

    async def stop(self) -> None:
        """End; what was claimed has been handed to the worker."""
        if self._task is None:
            return
        self._stopping = True
        self._worker.bells.ring("")
        await self._task
        self._task, self._stopping = None, False

    async def _poll(self) -> None:
        worker = self._worker
        while not self._stopping:
            try:
                for instance in await worker.due.claim(worker.plan.max_running):
                    worker.spawn_drive(instance)
                await worker.retention.sweep_if_due()
            except StoreError as error:
                log.warning("the worker cannot look for due instances: %s", error)
            except Exception:  # foreign code must not end the worker
                log.exception("the worker cannot look for due instances")
            if not self._stopping:  # it may have been rung for during the claim
                await worker.bells.wait("", worker.plan.poll, idle=True)
