"""A guard of the test's own, and what it looks after."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.engine.shutdown import Guard

INT, TERM = signal.SIGINT, signal.SIGTERM
BOTH = (TERM, INT)
DEADLINE = 10.0  # seconds for what another thread does


class Work:
    """A ward that is drained when the test says so."""

    reserve = 0.0

    def __init__(self, seconds: float = DEADLINE) -> None:
        self.seconds = seconds
        self.is_drained = False
        self.lives = True
        self.ends: list[bool] = []
        self.rescues = 0

    def is_alive(self) -> bool:
        return self.lives

    def end(self, *, hurry: bool) -> None:
        self.ends.append(hurry)

    def rescue(self) -> None:
        self.rescues += 1


class Exits:
    """Stands for `os._exit`."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.came = threading.Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.came.set()


def drain(guard: Guard, *works: Work) -> None:
    for work in works:
        work.is_drained = True
    guard.check()


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.001)
