"""Deleting instances some time after they have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.store import TERMINAL, Query

if TYPE_CHECKING:
    from edgeflow.engine.wiring import Wiring
    from edgeflow.store import Head

LONGEST_PAUSE = 600.0
"""Seconds between looks for what is to be deleted, at most."""

BATCH = 1000
"""How many are deleted before other work has its turn."""


class Retention:
    """Forgets completed, failed and cancelled instances after `keep` seconds."""

    def __init__(self, wiring: Wiring, keep: float | None) -> None:
        """Keep for ever if `keep` is None."""
        self._store = wiring.store
        self._clock = wiring.clock
        self._keep = keep
        self._next = 0.0

    async def sweep_if_due(self) -> None:
        """Delete what has been kept long enough, a few times in that span.

        Raises:
            StoreUnavailable: if the store cannot be used now.
        """
        now = self._clock.now()
        if self._keep is not None and now >= self._next:
            more = await self.sweep()
            self._next = now if more else now + min(self._keep / 10, LONGEST_PAUSE)

    async def sweep(self) -> bool:
        """Delete what has been kept long enough; tell if there may be more of it.

        Raises:
            StoreUnavailable: if the store cannot be used now.
        """
        if self._keep is None:
            return False
        before = self._clock.now() - self._keep
        found: list[str] = []
        with self._clock.busy():
            for status in sorted(TERMINAL):
                async for head in self._store.find(Query(status=status)):
                    if _has_ended(head, before) and len(found) < BATCH:
                        found.append(head.instance)
            for instance in found:
                loaded = await self._store.load(instance)  # it may have been recovered
                if loaded is not None and _has_ended(loaded.head, before):
                    await self._store.delete(instance)
        return len(found) == BATCH


def _has_ended(head: Head, before: float) -> bool:
    return head.status in TERMINAL and head.updated <= before
