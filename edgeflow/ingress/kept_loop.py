"""An event loop in a thread, for platforms that call plain functions.

It lives as long as the process, so that clients and stores which are bound to a loop
outlive a call, and so that what ends the process finds it though nothing is called.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

log = logging.getLogger("edgeflow")


class KeptLoop:
    """One loop in a daemon thread, made when it is first needed, and after a fork."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._loop = self._thread = None
        self._lock = threading.Lock()

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine there, and wait for its result in this thread."""
        with self._lock:  # so that `close` does not end the loop in between
            loop = self._started()
            answer: Future[T] = asyncio.run_coroutine_threadsafe(work(), loop)
        return answer.result()

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `last` there, and end the loop and its thread; `run` starts new ones."""
        with self._lock:
            loop, thread = self._loop, self._thread
            if loop is None or thread is None:
                return
            try:
                asyncio.run_coroutine_threadsafe(last(), loop).result()
            finally:
                self._loop = self._thread = None
                loop.call_soon_threadsafe(loop.stop)
                thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            ready: Future[asyncio.AbstractEventLoop] = Future()
            self._thread = threading.Thread(
                target=_keep, args=(ready,), name="edgeflow loop", daemon=True
            )
            self._thread.start()
            self._loop = ready.result()
        return self._loop


def _keep(ready: Future[asyncio.AbstractEventLoop]) -> None:
    """Run a loop until it is stopped, whatever leaves it."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        ready.set_result(loop)
        is_stopped = False
        while not is_stopped:
            try:
                loop.run_forever()
                is_stopped = True
            except BaseException as error:  # SystemExit of a step, say
                log.warning("%r left a task; the loop goes on", error)
