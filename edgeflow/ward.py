"""What an open app does when its process is told to end."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from edgeflow.engine.rescue import rescue

PAUSE = 0.005
"""Seconds between looks at wards of other event loops."""

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from edgeflow.engine.shutdown import Guard
    from edgeflow.engine.worker import Worker


class WorkerWard:
    """A worker on its event loop, as the guard of the process sees it."""

    def __init__(
        self, worker: Worker, guard: Guard, drained: Callable[[], object]
    ) -> None:
        """Have `worker` drained at the end; `drained` is called then, on the loop."""
        self.loop = asyncio.get_running_loop()
        self.is_drained = False
        """Whether all that the worker recorded is durable, and given back."""
        self._process = os.getpid()
        self._worker = worker
        self._guard = guard
        self._drained = drained
        self.exit: BaseException | None = None
        """What ends the process, if that was on us when this ward was closed."""
        self._task: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self._opened.set()
        self._users: list[asyncio.Task[Any]] = []
        self._inside: list[asyncio.Task[Any]] = []
        """The users, and those who leave and have not yet left."""

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
            self._drained()
            self._guard.check()
            if self._guard.ends:
                for user in set(self._users):
                    user.cancel("the process ends")

    def rescue(self) -> None:
        """Write what is dirty, from a thread, though the loop be stuck."""
        rescue(self._worker.wiring.store, list(self._worker.runs.values()))

    # --- who uses the worker ------------------------------------------------------

    def enter(self) -> None:
        """Note that the current task is to be ended with the process, if that is on us.

        It then waits for something, perhaps for ever: `async with app: ...`.
        """
        if (task := asyncio.current_task()) is not None:
            self._users.append(task)  # again, if it uses the app within its use
            self._inside.append(task)

    def leave(self) -> None:
        """Take it back, once; `left` is to follow."""
        if (task := asyncio.current_task()) in self._users:
            self._users.remove(task)

    def left(self) -> None:
        """Note that what the current task had to close is closed."""
        if (task := asyncio.current_task()) in self._inside:
            self._inside.remove(task)

    async def over(self, me: asyncio.Task[Any] | None) -> None:
        """Wait until no task but `me` is to leave; not for ever, but until all drained.

        To be raised after that is what ends the process: it ends this loop at once.
        """
        until = self.loop.time() + self.reserve
        while any(task is not me for task in self._inside):
            if self.loop.time() >= until:
                break
            await asyncio.sleep(PAUSE)
        await all_drained(self._guard)


async def all_drained(guard: Guard) -> None:
    """Wait until all that the guard looks after is durable, on other loops too."""
    while not guard.is_drained:  # noqa: ASYNC110  they cannot set what is ours
        await asyncio.sleep(PAUSE)
