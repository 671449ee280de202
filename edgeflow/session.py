"""What an app has open: opened by its first user, closed by its last."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from edgeflow.engine.committing import to_the_end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from edgeflow.engine.journal import Wiring
    from edgeflow.engine.worker import Worker


class Session:
    """Opens on demand, for the time of one call or of `async with app`."""

    def __init__(
        self,
        wiring: Wiring,
        make_worker: Callable[[Callable[[], Any]], Worker],
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None,
    ) -> None:
        """Hold what is needed to open; `lifespan` is entered before the first run."""
        self.resources: Any = None
        self._wiring = wiring
        self._make_worker = make_worker
        self._lifespan = lifespan
        self._users = 0
        self._servers = 0
        self._worker: Worker | None = None
        self._stack: AsyncExitStack | None = None
        self._entered = False
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_open(self) -> bool:
        return self._worker is not None

    @asynccontextmanager
    async def using(
        self, *, runs: bool = False, serves: bool = False
    ) -> AsyncGenerator[Worker]:
        """Give the worker, store opened; with `runs`, resources too.

        Raises:
            StoreUnavailable: if the store cannot be opened.
        """
        worker = await self._acquire(runs=runs or serves)
        try:
            if serves:
                self._servers += 1
                worker.serve()
            try:
                yield worker
            finally:
                self._servers -= serves
                if serves and not self._servers:
                    await to_the_end(worker.drain())
        finally:
            await to_the_end(self._release())

    def _locked(self) -> asyncio.Lock:
        """Give the lock over opening and closing; an app may live on several loops."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._lock = loop, asyncio.Lock()
        return self._lock

    async def _acquire(self, *, runs: bool) -> Worker:
        async with self._locked():
            if self._stack is None or self._worker is None:
                await self._open_store()
                self._stack = AsyncExitStack()
                self._stack.push_async_callback(self._wiring.store.close)
                self._worker = self._make_worker(lambda: self.resources)
            if runs and not self._entered:
                await self._enter(self._stack)
            self._users += 1
            return self._worker

    async def _open_store(self) -> None:
        store = self._wiring.store
        try:
            await to_the_end(store.open())
        except asyncio.CancelledError:
            await to_the_end(store.close())
            raise

    async def _enter(self, stack: AsyncExitStack) -> None:
        try:
            if self._lifespan is not None:
                self.resources = await stack.enter_async_context(self._lifespan())
            self._entered = True
        except BaseException:
            if self._users == 0:
                await self._close()
            raise

    async def _release(self) -> None:
        async with self._locked():
            self._users -= 1
            if self._users == 0:
                await self._close()

    async def _close(self) -> None:
        worker, stack = self._worker, self._stack
        self._worker = self._stack = None
        self._entered = False
        try:
            if worker is not None:
                await worker.drain()
        finally:
            if stack is not None:
                await stack.aclose()
            self.resources = None
