"""What is to happen at a time: a heap with lazy removal."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.engine.scope import Key


# Empty, and replaced by who sets a time.
NO_TIMES: list[tuple[float, int, Key]] = []
NO_CALLS: dict[Key, tuple[int, Callable[[], None]]] = {}


class Timers:
    """At most one time for each key, the earliest first; ties by age."""

    __slots__ = ("_age", "_heap", "_live")

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[tuple[float, int, Key]] = NO_TIMES
        self._live: dict[Key, tuple[int, Callable[[], None]]] = NO_CALLS
        self._age = 0

    def set(self, key: Key, when: float, callback: Callable[[], None]) -> None:
        """Have `callback` called at `when`, in s since the epoch."""
        age = self._age = self._age + 1
        if self._heap is NO_TIMES:
            self._heap, self._live = [], {}
        self._live[key] = (age, callback)
        heappush(self._heap, (when, age, key))
        if len(self._heap) > 2 * len(self._live) + 64:
            self._heap = [item for item in self._heap if self._is_live(item)]
            heapify(self._heap)

    def cancel(self, key: Key) -> bool:
        """Forget the time of a key; tell whether it had one."""
        return self._live.pop(key, None) is not None

    def __bool__(self) -> bool:
        return bool(self._live)

    def next(self) -> float | None:
        """Give the earliest time, or None."""
        while self._heap and not self._is_live(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> Callable[[], None] | None:
        """Take the earliest callback whose time has come."""
        when = self.next()
        if when is None or when > now:
            return None
        return self._live.pop(heappop(self._heap)[2])[1]

    def _is_live(self, item: tuple[float, int, Key]) -> bool:
        live = self._live.get(item[2])
        return live is not None and live[0] == item[1]
