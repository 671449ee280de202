"""Waiting to be told that something happened to an instance or address."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from edgeflow.engine.committing import resolve

if TYPE_CHECKING:
    from edgeflow.clock import Clock


class Bells:
    """One bell for each name; who waits for none costs nothing."""

    def __init__(self, clock: Clock) -> None:
        """Measure waits by `clock`."""
        self._clock = clock
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def ring(self, name: str) -> None:
        """Wake all who wait for this name."""
        for waiter in self._waiting.pop(name, []):
            resolve(waiter)

    def ring_all(self) -> None:
        """Wake everybody."""
        for name in list(self._waiting):
            self.ring(name)

    async def wait(self, name: str, limit: float, *, idle: bool = False) -> None:
        """Wait for `ring(name)`, at most `limit` seconds; `idle` as for clocks."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(waiter)
        alarm = self._clock.call_at(
            self._clock.now() + limit,
            partial(resolve, waiter),
            idle=idle,
        )
        try:
            await waiter
        finally:
            alarm.cancel()
            others = self._waiting.get(name, [])
            if waiter in others:
                others.remove(waiter)
                if not others:
                    del self._waiting[name]
