"""Running a command's coroutine so that signals suspend what runs, and nothing more."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgeflow.cli._errors import SIGNALLED

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import FrameType
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

    The first SIGINT or SIGTERM calls `stopping` and cancels the work, whose steps
    get the App's grace; the second ends the process at once, which costs no more
    than a kill.

    Raises:
        Stopped: if a signal ended the work.
    """
    return asyncio.run(_supervised(work, stopping))


async def _supervised(
    work: Callable[[], Coroutine[Any, Any, int]], stopping: Callable[[], None]
) -> int:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work())
    heard: list[int] = []

    def cancel() -> None:
        stopping()
        task.cancel()

    # A handler of `signal`, not of the loop: it also runs while a step blocks the loop.
    def hear(number: int, _frame: FrameType | None) -> None:
        if heard:
            os._exit(SIGNALLED + number)
        heard.append(number)
        loop.call_soon_threadsafe(cancel)

    with _handled(hear):
        try:
            return await task
        except asyncio.CancelledError:
            if not heard:
                raise
            raise Stopped(heard[0]) from None


@contextmanager
def _handled(hear: Callable[[int, FrameType | None], None]) -> Generator[None]:
    kept: dict[signal.Signals, Any] = {}
    try:
        for number in SIGNALS:
            kept[number] = signal.signal(number, hear)
    except ValueError:
        pass  # not the main thread: whoever owns the process hears its signals
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
