"""Who waits for a run to come to rest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from edgeflow.outcome import Outcome

Waiter: TypeAlias = "asyncio.Future[Outcome[Any]]"


class Waiters:
    """Any number for each instance; who is cancelled leaves nothing behind."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._waiting: dict[str, list[Waiter]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def any(self, instance: str) -> bool:
        """Tell whether somebody waits for this instance."""
        return bool(self._waiting.get(instance))

    async def wait(self, instance: str) -> Outcome[Any]:
        """Wait for the next answer."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault(instance, [])
        waiters.append(waiter)
        try:
            return await waiter
        finally:
            waiters.remove(waiter)

    def answer(self, instance: str, answer: Outcome[Any] | BaseException) -> bool:
        """Let all who wait by now have an outcome, or an error; False: nobody does."""
        waiters = self._waiting.pop(instance, [])
        for waiter in waiters:
            if waiter.done():
                continue
            if isinstance(answer, BaseException):
                waiter.set_exception(answer)
            else:
                waiter.set_result(answer)
        return bool(waiters)
