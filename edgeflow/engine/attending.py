"""Families: who attends an instance attends its children too, for as long."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from edgeflow.engine.children import kin
from edgeflow.errors import EdgeflowError, StoreError, UnknownInstance

if TYPE_CHECKING:
    from edgeflow.engine.journal import Journal
    from edgeflow.engine.worker import Worker
    from edgeflow.outcome import Outcome

log = logging.getLogger("edgeflow")


class Families:
    """The children of the instances that a worker attends, each run to its end."""

    def __init__(self, worker: Worker) -> None:
        """Attend for `worker`."""
        self._worker = worker
        self._tasks: dict[str, dict[str, asyncio.Task[None]]] = {}
        self._elsewhere: dict[str, float] = {}
        """Since when each of those that another process runs has been run by it."""

    def born(self, parent: str, child: str, known: bool) -> None:  # noqa: FBT001  it is a Callable's
        """Take note of a child; one that was known before may be a dead process's."""
        self._worker.bells.ring("")  # for the poller, if there is one
        self._follow(parent, child, take_over=known)

    def meet(self, journal: Journal) -> None:
        """Take note of the children that an instance has from before.

        As the instance itself they are taken over from who runs them, or died of it.
        """
        if self._worker.attends(journal.instance):
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
        if not self._worker.attends(parent):
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
                await worker.attend(child, take_over=take_over)
            except StoreError as error:
                log.warning("child %r goes on elsewhere or later: %s", child, error)
            except UnknownInstance:
                return  # it was deleted
            except EdgeflowError:
                log.exception("child %r could not be driven", child)
                return
            else:
                return
            take_over = False
            await worker.bells.wait(child, worker.plan.poll, idle=True)
