"""A KV in memory: for tests, and to show what a binding is."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from edgeflow.store import MIB
from edgeflow_kv._kv import value_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.store import Limits


class MemoryKV:
    """A dict, and its keys in order. Several stores on one object share its data."""

    def __init__(self, limits: Limits | None = None) -> None:
        """Start empty; `limits` are those of values of 65 MiB unless given."""
        self.limits = limits or value_limits(
            65 * MIB, durable=False, persistent=False, shared=False
        )
        self._values: dict[str, bytes] = {}
        self._keys: list[str] = []

    async def open(self) -> None:
        """Do nothing: the data are where they were."""

    async def close(self) -> None:
        """Do nothing: another store may go on with the data."""

    async def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    async def put(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        if key not in self._values:
            insort(self._keys, key)
        elif if_absent:
            return False
        self._values[key] = bytes(value)
        return True

    async def delete(self, key: str) -> None:
        if self._values.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    async def scan(
        self, prefix: str, start: str | None = None, limit: int | None = None
    ) -> Sequence[tuple[str, bytes]]:
        first = bisect_left(self._keys, max(prefix, start or ""))
        last = bisect_left(self._keys, prefix + "\x7f")
        if limit is not None:
            last = min(last, first + limit)
        return [(key, self._values[key]) for key in self._keys[first:last]]
