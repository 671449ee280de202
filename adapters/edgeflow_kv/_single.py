"""A backend without `if_absent`, for one process that nobody else writes beside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.store import Limits
    from edgeflow_kv._kv import KV


class SingleWriter:
    """Reads before it writes; one at a time."""

    def __init__(self, kv: KV) -> None:
        """Write to `kv`."""
        self._kv = kv
        self._turn = asyncio.Lock()

    @property
    def limits(self) -> Limits:
        return self._kv.limits

    async def open(self) -> None:
        self._turn = asyncio.Lock()  # of this event loop
        await self._kv.open()

    async def close(self) -> None:
        await self._kv.close()

    async def get(self, key: str) -> bytes | None:
        return await self._kv.get(key)

    async def put(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        if not if_absent:
            return await self._kv.put(key, value)
        async with self._turn:
            if await self._kv.get(key) is not None:
                return False
            return await self._kv.put(key, value)

    async def delete(self, key: str) -> None:
        await self._kv.delete(key)

    async def scan(
        self, prefix: str, start: str | None = None, limit: int | None = None
    ) -> Sequence[tuple[str, bytes]]:
        return await self._kv.scan(prefix, start, limit)
