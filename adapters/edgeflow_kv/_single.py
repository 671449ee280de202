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
        self.inner = kv
        self._turn = asyncio.Lock()

    @property
    def limits(self) -> Limits:
        return self.inner.limits

    async def open(self) -> None:
        self._turn = asyncio.Lock()  # of this event loop
        await self.inner.open()

    async def close(self) -> None:
        await self.inner.close()

    async def get(self, key: str) -> bytes | None:
        return await self.inner.get(key)

    async def put(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        if not if_absent:
            return await self.inner.put(key, value)
        async with self._turn:
            if await self.inner.get(key) is not None:
                return False
            return await self.inner.put(key, value)

    async def delete(self, key: str) -> None:
        await self.inner.delete(key)

    async def scan(
        self, prefix: str, start: str | None = None, limit: int | None = None
    ) -> Sequence[tuple[str, bytes]]:
        return await self.inner.scan(prefix, start, limit)
