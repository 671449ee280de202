"""Where a connection was made: one event loop of one process has it."""

from __future__ import annotations

import asyncio
import os

_KEPT: list[object] = []


class Here:
    """The event loop and the process in which this is made.

    After a fork the child shares its parent's sockets and selector: who closes a
    connection there takes it from the parent. One of a loop that has ended cannot be
    closed, and is left to the garbage collector.
    """

    def __init__(self) -> None:
        """Note both."""
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()

    def leave(self, *things: object) -> None:
        """Let go of what belongs here from somewhere else."""
        if self._process != os.getpid():
            _KEPT.append(things)  # their finalizers would close them, too

    def is_still(self) -> bool:
        """Whether this is that event loop, in that process."""
        is_same = self._process == os.getpid()
        return is_same and self._loop is asyncio.get_running_loop()
