"""Instances that are being opened: each once, whoever asks for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from edgeflow.engine.run import Run
    from edgeflow.outcome import Outcome

Opened: TypeAlias = "Run | Outcome[Any]"


class Openings:
    """At most one opening for each instance."""

    def __init__(self) -> None:
        """Start with none."""
        self.tasks: dict[str, asyncio.Task[Opened]] = {}
        self._new: set[str] = set()

    async def share(
        self,
        instance: str,
        work: Coroutine[Any, Any, Opened],
        *,
        is_new: bool = False,
    ) -> Opened:
        """Open an instance once for all who ask, though each of them be cancelled."""
        task = self.tasks.get(instance)
        if task is None:
            task = asyncio.get_running_loop().create_task(work)
            self.tasks[instance] = task
            self._new.update([instance] if is_new else [])
            task.add_done_callback(lambda _: self._over(instance))
        else:
            work.close()
        return await asyncio.shield(task)

    def _over(self, instance: str) -> None:
        self.tasks.pop(instance, None)
        self._new.discard(instance)

    async def created(self, instance: str) -> None:
        """Wait while an instance is being made: it may turn out to be there already."""
        if instance in self._new:
            await self.over(instance)

    async def over(self, instance: str) -> None:
        """Wait while an instance is being opened."""
        while (other := self.tasks.get(instance)) is not None:
            await asyncio.wait([other])

    def then(self, instance: str, call: Callable[[], None]) -> None:
        """Call once an opening that is under way has ended."""
        if (task := self.tasks.get(instance)) is not None:
            task.add_done_callback(lambda _: call())
