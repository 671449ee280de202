"""Telling observers: after the commit, isolated, bounded."""

from __future__ import annotations

import asyncio
import logging
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from edgeflow.clock import Clock
    from edgeflow.engine.scope import Key
    from edgeflow.events import Event, Observer

log = logging.getLogger("edgeflow")


class Witness(Protocol):
    """Sees the attempts of steps and undos as they happen: for the testing kit."""

    def began(self, instance: str, key: Key, path: str, attempt: int) -> None:
        """An attempt is about to call its function."""
        ...

    def ended(self, instance: str, key: Key, path: str, attempt: int) -> None:
        """The outcome of an attempt is in the journal, and not yet durable."""
        ...


SECONDS = 1.0
"""How long an async observer may take for one event."""


class Observers:
    """Some observers; what they do cannot harm an instance."""

    def __init__(self, observers: Sequence[Observer], clock: Clock) -> None:
        """Tell each of `observers`."""
        self.all = tuple(observers)
        self._clock = clock
        self._tasks: set[asyncio.Task[Any]] = set()

    def add(self, observer: Observer) -> None:
        """Tell this one too, from now on."""
        self.all += (observer,)

    def __bool__(self) -> bool:
        return bool(self.all)

    def tell(self, event: Event) -> None:
        """Tell of a durable event; returns at once."""
        for observer in self.all:
            try:
                answer = observer(event)
            except Exception:  # foreign code must not reach the engine
                log.exception("observer %r failed on %s", observer, event.kind)
                continue
            if isawaitable(answer):
                self._spawn(observer, event, answer)

    async def settle(self) -> None:
        """Wait until those are done that were told."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _spawn(self, observer: Observer, event: Event, answer: Awaitable[None]) -> None:
        async def listen() -> None:
            try:
                await answer
            except asyncio.CancelledError:
                log.warning("observer %r took over %g s", observer, SECONDS)
            except Exception:  # foreign code must not reach the engine
                log.exception("observer %r failed on %s", observer, event.kind)

        task = asyncio.get_running_loop().create_task(listen())
        alarm = self._clock.call_at(self._clock.now() + SECONDS, task.cancel)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: alarm.cancel())
