"""Running a command's coroutine so that signals suspend what runs, and nothing more."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from edgeflow.engine.shutdown import SIGNALLED, process_guard
from edgeflow.ward import end_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """Raised when the work was ended by a signal, after all it did was made durable."""

    def __init__(self, number: int) -> None:
        """Keep the exit code that shells expect for this signal."""
        self.code = SIGNALLED + number
        super().__init__(f"stopped by signal {number}")


def run_until_stopped(
    work: Callable[[], Coroutine[Any, Any, int]],
    stopping: Callable[[], None] = lambda: None,
) -> int:
    """Run `work` on a loop of its own and give its exit code.

    The first SIGINT or SIGTERM calls `stopping`, and running steps get the App's
    grace. A second ^C, half a second later or more, cuts them off at once. No flush is
    torn by either.

    Raises:
        Stopped: if a signal ended the work.
    """
    # Before asyncio.run, which would have its own handler for SIGINT.
    process_guard().listen(SIGNALS)
    try:
        return asyncio.run(_supervised(work, stopping))
    except KeyboardInterrupt:
        raise Stopped(signal.SIGINT) from None
    except SystemExit as end:
        if end.code != SIGNALLED + signal.SIGTERM:
            raise
        raise Stopped(signal.SIGTERM) from None


async def _supervised(
    work: Callable[[], Coroutine[Any, Any, int]], stopping: Callable[[], None]
) -> int:
    guard, supervisor = process_guard(), Supervisor(stopping)
    guard.attach(supervisor)
    try:
        return await work()
    finally:
        guard.detach(supervisor)


class Supervisor:
    """Says that the work is stopping, and ends its loop if no app in it does."""

    seconds = reserve = 0.0
    is_drained = True
    """It has nothing of its own."""

    def __init__(self, stopping: Callable[[], None]) -> None:
        """Call `stopping` once the process is told to end."""
        self._loop = asyncio.get_running_loop()
        self._stopping = stopping
        self._task: asyncio.Task[None] | None = None

    def is_alive(self) -> bool:
        """Whether its event loop still runs."""
        return self._loop.is_running()

    def end(self, *, hurry: bool) -> None:
        """Begin, on the loop."""
        if not hurry:
            self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._stopping()
        self._task = self._loop.create_task(end_loop(process_guard()))

    def rescue(self) -> None:
        """Do nothing: what is dirty is an app's."""
