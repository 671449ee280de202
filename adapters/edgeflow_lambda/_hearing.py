"""Hearing SIGTERM, also where the main thread is never in Python.

Python runs a signal's handler in the main thread, between two bytecodes. Some of
Lambda's runtimes wait for the next event in C there, all container images among them,
so it would never run. But the handler in C, which comes first, also writes the number
into a pipe (https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd), and a
thread reads it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from edgeflow.platform import Guard

SIGNAL = signal.SIGTERM
LONGEST_GRACE = 2.0
"""What Lambda gives a function with an external extension, in seconds; else 0.5."""
ANSWER_SECONDS = 0.1
"""For the handler to return, once all is durable; then for the runtime to answer."""
SEND_SECONDS = 0.05
TURN_SECONDS = 0.0005
"""Instead of Python's 0.005: half a second is not many of those."""


class Hearing:
    """Hears SIGTERM in this process, has all made durable, and ends it."""

    def __init__(self, leave: Callable[[int], Any] = os._exit) -> None:
        """Hear nothing yet; `leave` ends the process."""
        self._guard: Guard | None = None
        self._leave = leave
        self._reads, self._writes = os.pipe()
        os.set_blocking(self._writes, False)
        self._older_pipe: tuple[int, int, int] | None = None
        self._found: Any = None
        self._calls = 0
        self._counting = threading.Condition()
        self._forking = threading.local()

    def begin(self, guard: Guard) -> bool:
        """Hear from now on, and tell the guard; call it in the main thread.

        False: this is so already.
        """
        if self._guard is not None:
            return False
        self._guard = guard
        self._found = signal.signal(SIGNAL, self._on_signal)
        self.renew()
        os.register_at_fork(
            before=self._hold_back,
            after_in_parent=self._let_through,
            after_in_child=self._leave_to_parent,
        )
        threading.Thread(
            target=self._listen, args=(guard,), name="edgeflow-hearing", daemon=True
        ).start()
        return True

    def renew(self) -> None:
        """Have the pipe written again, if somebody else has set one since."""
        if threading.current_thread() is threading.main_thread():
            found = signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
            if found != self._writes:
                self._older_pipe = _identity(found)

    @contextmanager
    def calling(self) -> Generator[None]:
        """Say that an answer is awaited meanwhile."""
        self.renew()
        with self._counting:
            self._calls += 1
        try:
            yield
        finally:
            with self._counting:
                self._calls -= 1
                self._counting.notify_all()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Be there: without a handler in Python that in C writes nothing."""
        if callable(self._found):
            self._found(number, frame)

    def _listen(self, guard: Guard) -> None:
        while True:
            numbers = os.read(self._reads, 64)
            if self._older_pipe is not None:
                self._pass_on(self._older_pipe, numbers)
            if SIGNAL in numbers:
                self._end(guard)

    def _pass_on(self, pipe: tuple[int, int, int], numbers: bytes) -> None:
        """Write what the interpreter would have, unless the pipe was closed since.

        Its number may be that of a file by now, a database perhaps.
        """
        if _identity(pipe[0]) == pipe:
            with suppress(OSError):  # it is full
                os.write(pipe[0], numbers)

    def _end(self, guard: Guard) -> None:
        # A step that computes holds each thread up for as long, at each of its turns.
        sys.setswitchinterval(TURN_SECONDS)
        was_called = self._calls > 0
        guard.hear(SIGNAL)
        if not guard.wait(LONGEST_GRACE):
            return  # the guard's own watchdog ends the process
        with self._counting:
            self._counting.wait_for(lambda: not self._calls, ANSWER_SECONDS)
        if was_called:
            time.sleep(SEND_SECONDS)
        # Not sys.exit: on Python 3.13 that waits for the thread which polls for events.
        self._leave(0)

    # --- forks: the pipe is shared, so a child that is told to end would end us ---

    def _hold_back(self) -> None:
        self._forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})

    def _let_through(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._forking.mask)

    def _leave_to_parent(self) -> None:
        """In the child, have signals do what they did before: they are not ours."""
        signal.set_wakeup_fd(-1)
        if signal.getsignal(SIGNAL) == self._on_signal:
            signal.signal(SIGNAL, self._found or signal.SIG_DFL)  # None: set in C
        self._let_through()


def _identity(pipe: int) -> tuple[int, int, int] | None:
    """Give what tells an open file from a later one of the same number."""
    try:
        found = os.fstat(pipe)
    except OSError:  # -1: there is none
        return None
    return pipe, found.st_dev, found.st_ino


@cache
def process_hearing() -> Hearing:
    """Give what hears for this process."""
    return Hearing()
