"""A KV whose calls may be the last of their process, or take their time."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from edgeflow.testing.faults import Crashed
from edgeflow_kv import MemoryKV

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from edgeflow.store import Limits

T = TypeVar("T")


async def copy_of(kv: MemoryKV) -> MemoryKV:
    """The same data, apart: a backend as it is at this moment."""
    made = MemoryKV(kv.limits)
    for key, value in await kv.scan(""):
        await made.put(key, value)
    return made


class Through:
    """Passes every call on to `inner`, as `call` lets it."""

    def __init__(self, inner: MemoryKV) -> None:
        self.inner = inner

    async def call(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        return await work()

    @property
    def limits(self) -> Limits:
        return self.inner.limits

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def get(self, key: str) -> bytes | None:
        return await self.call("get", lambda: self.inner.get(key))

    async def put(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        name = "put if absent" if if_absent else "put"
        return await self.call(
            f"{name} {key}",
            lambda: self.inner.put(key, value, if_absent=if_absent),
        )

    async def delete(self, key: str) -> None:
        await self.call(f"delete {key}", lambda: self.inner.delete(key))

    async def scan(
        self, prefix: str, start: str | None = None, limit: int | None = None
    ) -> Sequence[tuple[str, bytes]]:
        return await self.call(
            f"scan {prefix}", lambda: self.inner.scan(prefix, start, limit)
        )


class MortalKV(Through):
    """Ends its process after one call: it is done, but there is no answer."""

    def __init__(self, inner: MemoryKV, dies_at: int = 0) -> None:
        super().__init__(inner)
        self.dies_at = dies_at
        self.calls: list[str] = []

    async def call(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        self.calls.append(name)
        if self.dies_at and len(self.calls) > self.dies_at:
            raise Crashed
        answer = await work()
        if len(self.calls) == self.dies_at:
            raise Crashed
        return answer


class Traffic:
    """The calls of several processes, each held until it is let go."""

    def __init__(self, seed: int, frozen: float) -> None:
        self.random = Random(seed)
        self._frozen = frozen
        self._held: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Wait until it is one's turn: soon, as a rule."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.append(waiter)
        await waiter

    async def run(self, *processes: Coroutine[Any, Any, None]) -> None:
        """Let calls go on one by one, until all processes have ended."""
        tasks = [asyncio.ensure_future(process) for process in processes]
        while not all(task.done() for task in tasks) or self._held:
            for _ in range(6):
                await asyncio.sleep(0)
            self._held = [waiter for waiter in self._held if not waiter.done()]
            if self._held:
                recent = self._held[-4:]
                is_late = self.random.random() < self._frozen
                self.random.choice(self._held if is_late else recent).set_result(None)
        for task in tasks:
            task.result()


class SlowKV(Through):
    """Holds each call before it is done, and its answer; does some writes once more."""

    def __init__(self, inner: MemoryKV, traffic: Traffic, doubled: float) -> None:
        super().__init__(inner)
        self._traffic = traffic
        self._doubled = doubled
        self._late: set[asyncio.Future[None]] = set()

    async def call(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        await self._traffic.wait()
        is_write = name.startswith(("put", "delete"))
        if is_write and self._traffic.random.random() < self._doubled:
            late = asyncio.ensure_future(self._again(work))
            self._late.add(late)
            late.add_done_callback(self._late.discard)
        answer = await work()
        await self._traffic.wait()
        return answer

    async def _again(self, work: Callable[[], Awaitable[object]]) -> None:
        await self._traffic.wait()
        await self._traffic.wait()
        await work()


class Rounds(Through):
    """Counts rounds: calls that are made together are one."""

    def __init__(self, inner: MemoryKV) -> None:
        super().__init__(inner)
        self.names: list[list[str]] = []
        self._now: list[str] | None = None

    async def call(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        if self._now is None:
            self._now = []
            self.names.append(self._now)
        mine = self._now
        mine.append(name)
        for _ in range(20):  # all that are made together are made by now
            await asyncio.sleep(0)
        if self._now is mine:
            self._now = None
        return await work()
