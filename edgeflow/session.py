"""What an app has open: opened by its first user, closed by its last."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from edgeflow.engine.committing import to_the_end
from edgeflow.engine.shutdown import Guard, process_guard
from edgeflow.errors import EdgeflowError, ProcessEnding
from edgeflow.ward import WorkerWard

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from edgeflow.engine.wiring import Wiring
    from edgeflow.engine.worker import Worker


class Session:
    """Opens on demand: for one call, for `async with app`, or to stay open.

    It belongs to the event loop that opened it, in that process. After a fork, or
    when that loop is gone, the next user opens it anew.
    """

    def __init__(
        self,
        wiring: Wiring,
        make_worker: Callable[[Callable[[], Any]], Worker],
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None,
        install: Callable[[Guard], object] = lambda _guard: None,
    ) -> None:
        """Hold what is needed to open.

        `lifespan` is entered before the first run; `install` has the guard hear what
        ends the process, before each.
        """
        self.resources: Any = None
        self.guard = process_guard()
        self._wiring = wiring
        self._make_worker = make_worker
        self._lifespan = lifespan
        self._install = install
        self._begin()

    def _begin(self) -> None:
        self.resources = None
        self._users = 0
        self._servers = 0
        self._stays = False
        self._stays_serving = False
        self._worker: Worker | None = None
        self._ward: WorkerWard | None = None
        self._stack: AsyncExitStack | None = None
        self._entered = False
        self._lock: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_open(self) -> bool:
        return self._worker is not None

    # --- users ------------------------------------------------------------------

    @asynccontextmanager
    async def using(
        self, *, runs: bool = False, serves: bool = False
    ) -> AsyncGenerator[Worker]:
        """Give the worker, store opened; with `runs`, resources too.

        Raises:
            StoreUnavailable: if the store cannot be opened.
            ProcessEnding: with `runs`, if the process was told to end, and somebody
                else sees to that: a server.
        """
        runs = runs or serves
        try:
            worker, ward = await self._acquire(runs=runs)
        except ProcessEnding:
            await self._ended()
            raise
        try:
            if serves:
                self._serve(worker)
            try:
                yield worker
            finally:
                if serves:
                    await to_the_end(self._serve_no_more(worker))
            if runs:
                await self._ended()
        except ProcessEnding:
            await self._ended()
            raise
        finally:
            await self._let_go(ward)

    async def _ended(self) -> None:
        """If it is on us to end the process, wait for that: the loop is left soon.

        Who used the app is told by the cancellation that comes then.
        """
        if self.guard.ends and not self.guard.is_left:
            await asyncio.get_running_loop().create_future()

    async def stay(self, *, serves: bool) -> Worker:
        """Open for as long as this loop lives, or until `part` or the process's end.

        With `serves`, what is due is run meanwhile.

        Raises:
            StoreUnavailable: if the store cannot be opened; the next call tries again.
            ProcessEnding: if the process was told to end.
        """
        worker, ward = await self._acquire(runs=True)
        if self._stays:
            await to_the_end(self._release(ward))
        else:
            self._stays, self._stays_serving = True, serves
            if serves:
                self._serve(worker)
        return worker

    async def part(self) -> None:
        """Undo `stay`, if this loop stays; what runs is suspended."""
        ward, worker = self._ward, self._worker
        if not self._stays or ward is None or worker is None or not ward.is_here():
            return
        self._stays = False
        if self._stays_serving:
            await to_the_end(self._serve_no_more(worker))
        await self._let_go(ward)

    def _serve(self, worker: Worker) -> None:
        self._servers += 1
        self._serve_if_wanted(worker)

    async def _serve_no_more(self, worker: Worker) -> None:
        self._servers -= 1
        if not self._servers:
            await worker.drain()
            self._serve_if_wanted(worker)  # somebody may have come meanwhile

    def _serve_if_wanted(self, worker: Worker) -> None:
        if self._servers and not worker.drains:
            worker.serve()

    # --- opening ------------------------------------------------------------------

    def _locked(self) -> asyncio.Lock:
        """Give the lock over opening and closing; what is gone is forgotten first.

        Raises:
            EdgeflowError: if it is open on another event loop that runs.
        """
        ward = self._ward
        if ward is not None and not ward.is_here():
            if ward.is_alive():
                raise EdgeflowError(
                    "this App is open on another event loop of this process: use it "
                    "there, or make an App of its own for each loop"
                )
            self.guard.detach(ward)
            self._begin()
        loop = asyncio.get_running_loop()
        if self._lock is None or self._loop is not loop:
            self._loop, self._lock = loop, asyncio.Lock()
        return self._lock

    async def _acquire(self, *, runs: bool) -> tuple[Worker, WorkerWard]:
        async with self._locked():
            self.guard.forget_if_over()
            if runs and self.guard.heard:
                raise ProcessEnding("a run")
            if self._worker is None or self._ward is None:
                self._worker = self._make_worker(lambda: self.resources)
                self._ward = WorkerWard(self._worker, self.guard, self._drained)
            worker, ward = self._worker, self._ward
            try:
                if runs:
                    await self._enter(ward)
                else:
                    await self._open_store()
            except BaseException:
                if self._users == 0:
                    await self._close()
                raise
            self._users += 1
            return worker, ward

    async def _enter(self, ward: WorkerWard) -> None:
        """Make ready to run, if it is not; a signal that comes meanwhile waits.

        Raises:
            ProcessEnding: if one did.
        """
        if self._entered:
            self._install(self.guard)
            return
        self.guard.attach(ward)
        self._install(self.guard)
        with ward.opening():
            stack = await self._open_store()
            if self._lifespan is not None:
                self.resources = await stack.enter_async_context(self._lifespan())
        self._entered = True
        self._install(self.guard)  # what was opened may have handlers of its own
        if self.guard.heard:
            raise ProcessEnding("a run")

    async def _open_store(self) -> AsyncExitStack:
        if self._stack is None:
            store = self._wiring.store
            try:
                await to_the_end(store.open())
            except asyncio.CancelledError:
                await to_the_end(store.close())
                raise
            self._stack = AsyncExitStack()
            self._stack.push_async_callback(store.close)
        return self._stack

    async def _let_go(self, ward: WorkerWard) -> None:
        self.guard.closing += 1
        try:
            await to_the_end(self._release(ward))
        finally:
            self.guard.closing -= 1

    async def _release(self, ward: WorkerWard) -> None:
        if self._ward is not ward:
            return  # it was another loop's, or another process's
        async with self._locked():
            self._users -= 1
            if self._users == 0:
                await self._close()

    async def _close(self) -> None:
        worker, stack, ward = self._worker, self._stack, self._ward
        self._worker = self._stack = self._ward = None
        self._entered = False
        try:
            if worker is not None:
                await worker.drain()
            if ward is not None:
                ward.is_drained = True
                self.guard.check()
        finally:
            if stack is not None:
                await stack.aclose()
            self.resources = None
            if ward is not None:
                self.guard.detach(ward)

    async def _drained(self) -> None:
        """Let go of what stays open for nobody in particular: the process ends."""
        await self.part()
