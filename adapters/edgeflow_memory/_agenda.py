"""Which instances are due, earliest first."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SLACK = 64


class Agenda:
    """A heap; outdated entries stay until they are met, or outnumber the rest."""

    def __init__(self) -> None:
        """Start with nothing due."""
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        """Return the number of entries, outdated ones included."""
        return len(self._heap)

    def due(self, instance: str) -> float | None:
        """Return when the instance is due; None: not by itself."""
        return self._due.get(instance)

    def put(self, instance: str, due: float | None) -> None:
        """Replace when the instance is due."""
        if due is None:
            self._due.pop(instance, None)
        elif self._due.get(instance) != due:
            self._due[instance] = due
            heapq.heappush(self._heap, (due, instance))
            if len(self._heap) > 2 * len(self._due) + _SLACK:
                self._tidy()

    def take(self, now: float, limit: int, free: Callable[[str], bool]) -> list[str]:
        """List up to `limit` instances that are due and free; they stay due."""
        met: dict[tuple[float, str], bool] = {}
        missing = limit
        while missing > 0 and self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            due, instance = entry
            if self._due.get(instance) == due and entry not in met:
                met[entry] = free(instance)
                missing -= met[entry]
        for entry in met:
            heapq.heappush(self._heap, entry)
        return [instance for (_, instance), taken in met.items() if taken]

    def _tidy(self) -> None:
        self._heap = [(due, instance) for instance, due in self._due.items()]
        heapq.heapify(self._heap)
