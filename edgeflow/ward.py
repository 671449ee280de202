"""What an open app does when its process is told to end."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from edgeflow.engine.rescue import rescue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from edgeflow.engine.shutdown import Guard
    from edgeflow.engine.worker import Worker

PAUSE = 0.005
"""Seconds between looks at wards of other event loops."""
PATIENCE = 1.0
"""Seconds in which those who close when the process is to end may finish."""


class WorkerWard:
    """A worker on its event loop, as the guard of the process sees it."""

    def __init__(
        self, worker: Worker, guard: Guard, drained: Callable[[], Awaitable[None]]
    ) -> None:
        """Have `worker` drained at the end; `drained` is awaited then, on the loop."""
        self.loop = asyncio.get_running_loop()
        self.is_drained = False
        """Whether all that the worker recorded is durable, and given back."""
        self._process = os.getpid()
        self._worker = worker
        self._guard = guard
        self._drained = drained
        self._task: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self._opened.set()

    @property
    def seconds(self) -> float:
        """How long the process has, from the signal on."""
        plan = self._worker.plan
        return plan.grace + plan.reserve

    @property
    def reserve(self) -> float:
        """How long it takes at most to cut running steps off, and to flush."""
        return self._worker.plan.reserve

    def is_here(self) -> bool:
        """Whether this is its process, and its event loop."""
        return self._process == os.getpid() and self.loop is asyncio.get_running_loop()

    def is_alive(self) -> bool:
        """Whether its event loop runs in this process."""
        return self._process == os.getpid() and self.loop.is_running()

    # --- the end ----------------------------------------------------------------

    def end(self, *, hurry: bool) -> None:
        """Begin to drain, on the loop; from any thread, and from a signal handler."""
        with suppress(RuntimeError):  # it is closed: nothing runs there
            self.loop.call_soon_threadsafe(self._begin, hurry)

    def _begin(self, hurry: bool) -> None:  # noqa: FBT001  it is a callback's
        if self._task is None:
            self._task = self.loop.create_task(self._drain())
        if hurry:
            self._worker.hurry()

    @contextmanager
    def opening(self) -> Generator[None]:
        """Drain nothing meanwhile: what is being opened is to be closed first."""
        self._opened.clear()
        try:
            yield
        finally:
            self._opened.set()

    async def _drain(self) -> None:
        try:
            await self._opened.wait()
            await self._worker.shut()
        finally:
            self.is_drained = True
            self._guard.check()
        await self._drained()
        await end_loop(self._guard)

    def rescue(self) -> None:
        """Write what is dirty, from a thread, though the loop be stuck."""
        rescue(self._worker.wiring.store, list(self._worker.runs.values()))


async def all_drained(guard: Guard) -> None:
    """Wait until all that the guard looks after is durable, on other loops too."""
    while not guard.is_drained:  # noqa: ASYNC110  they cannot set what is ours
        await asyncio.sleep(PAUSE)


async def end_loop(guard: Guard) -> None:
    """End this event loop as the signal would have, if that is on us.

    That is once all is durable, and from a plain callback: it leaves the loop, and
    comes out of no task. Then asyncio.run cancels all tasks, which unwind as ever.
    """
    await all_drained(guard)
    end = guard.take_exit()
    if end is not None:
        _leave(guard, end, asyncio.get_running_loop().time() + PATIENCE)


def _leave(guard: Guard, end: BaseException, until: float) -> None:
    """Leave the loop as soon as nobody is closing: asyncio.run would tear that."""
    loop = asyncio.get_running_loop()

    def leave() -> None:
        if guard.closing and loop.time() < until:
            loop.call_later(PAUSE, leave)
        else:
            guard.leave_loop(end)

    loop.call_soon(leave)
