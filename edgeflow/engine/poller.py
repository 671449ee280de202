"""Looking for due instances, as long as a worker serves."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from edgeflow.errors import StoreError
from edgeflow.store import Hints

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from edgeflow.engine.worker import Worker

log = logging.getLogger("edgeflow")

SHORTEST = 0.05
"""Seconds until the next look where there was work; without any they double."""
BREATH = 0.02
"""Seconds after a hint for which the next one waits, where hints come in swarms."""
JITTER = 0.2
"""The part of a pause by which it differs, so that a fleet does not march in step."""


class Poller:
    """Claims what is due, at intervals and whenever its bell rings.

    The intervals grow up to `poll` while nothing is found. A store that gives hints
    rings the bell, and so does a run that makes room where there was none left.
    """

    def __init__(self, worker: Worker) -> None:
        """Claim for `worker`."""
        self._worker = worker
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._is_full = False
        self._rings = 0

    def look_soon(self) -> None:
        """Look again at once, or after the look that is under way."""
        self._rings += 1
        self._worker.bells.ring("")

    def start(self) -> None:
        """Begin, unless it has begun."""
        if not self._tasks:
            self._spawn(self._poll())
            if isinstance(self._worker.wiring.store, Hints):
                self._spawn(self._heed(self._worker.wiring.store))

    async def stop(self) -> None:
        """End; what was claimed has been handed to the worker."""
        if not self._tasks:
            return
        self._stopping = True
        self.look_soon()
        polls, *others = self._tasks
        await polls
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._tasks, self._stopping = [], False

    def room(self) -> None:
        """Hear that a run has come to rest: there may be room for another one."""
        if self._is_full:
            self._is_full = False
            self.look_soon()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _poll(self) -> None:
        worker, pause = self._worker, 0.0
        while not self._stopping:
            heard = self._rings
            found = await self._look()
            longest = worker.plan.poll
            pause = min(SHORTEST if found else max(2 * pause, SHORTEST), longest)
            if heard == self._rings:
                spread = 1 + JITTER * (worker.plan.chance() - 0.5)
                await worker.bells.wait("", pause * spread, idle=True)
            if heard != self._rings:
                pause = 0.0  # if the store's clock is a little late, look soon again

    async def _look(self) -> int:
        """Claim what is due and have it driven; tell how much there was."""
        worker, found = self._worker, 0
        try:
            room = worker.due.room()
            for instance in await worker.due.claim(room):
                worker.spawn_drive(instance)
                found += 1
            self._is_full = found == room
            await worker.retention.sweep_if_due()
        except StoreError as error:
            log.warning("the worker cannot look for due instances: %s", error)
        except Exception:  # foreign code must not end the worker
            log.exception("the worker cannot look for due instances")
        return found

    async def _heed(self, store: Hints) -> None:
        """Look at once whenever the store hints at something."""
        worker = self._worker
        while True:
            try:
                await store.hint()
            except Exception as error:
                log.warning("the store gives no hints now: %s", error)
                await worker.bells.wait("hints", worker.plan.poll, idle=True)
            self.look_soon()
            await worker.bells.wait("hints", BREATH, idle=True)
