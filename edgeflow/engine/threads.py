"""Plain functions in worker threads that never hold up the end of the process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

T = TypeVar("T")

IDLE_SECONDS = 10.0


class Threads:
    """A pool of daemon threads: an abandoned call keeps its thread, not the process.

    `concurrent.futures` joins its threads at exit, so a call that never returns
    would hang the interpreter.
    """

    def __init__(self, limit: int = 64) -> None:
        """Run at most `limit` calls at once; more wait their turn."""
        self._limit = limit
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._calls: deque[Callable[[], None]] = deque()
        self._wakeup = threading.Condition()
        self._idle = 0
        self._count = 0

    def run(self, function: Callable[[], T], context: Context) -> asyncio.Future[T]:
        """Call `function` in a thread, in `context`; cancelling abandons the call."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(error: BaseException | None, value: Any) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(value)
            elif isinstance(error, StopIteration):
                future.set_exception(RuntimeError(f"step raised {error!r}"))
            else:
                future.set_exception(error)

        def call() -> None:
            if future.cancelled():  # abandoned before its turn
                return
            outcome = _outcome(function, context)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, *outcome)

        if self._process != os.getpid():
            self._begin()  # no thread survives a fork
        with self._wakeup:
            self._calls.append(call)
            if self._idle >= len(self._calls):
                self._wakeup.notify()
            elif self._count < self._limit:
                self._count += 1
                threading.Thread(
                    target=self._work, name="edgeflow step", daemon=True
                ).start()
        return future

    def _work(self) -> None:
        while True:
            with self._wakeup:
                self._idle += 1
                try:
                    found = self._wakeup.wait_for(lambda: self._calls, IDLE_SECONDS)
                finally:
                    self._idle -= 1
                if not found:
                    self._count -= 1
                    return
                call = self._calls.popleft()
            call()
            del call


def _outcome(
    function: Callable[[], T], context: Context
) -> tuple[BaseException | None, T | None]:
    try:
        return None, context.run(function)
    except BaseException as error:
        return error, None
