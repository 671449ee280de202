"""Stamps that put messages in order, and make each write its own."""

from __future__ import annotations

import time


class Stamps:
    """A clock in ns that never repeats and never goes back, behind all that it saw.

    Stamps of one process are in order. Those of two processes are, if the later one
    has read anything that the earlier one wrote; else their clocks decide.
    """

    def __init__(self) -> None:
        """Begin at the time of the machine."""
        self._last = 0

    def next(self) -> int:
        """Give a stamp that is above all others here."""
        self._last = max(self._last + 1, time.time_ns())
        return self._last

    def saw(self, stamp: int) -> None:
        """Stay behind a stamp of another process."""
        self._last = max(self._last, stamp)


STAMPS = Stamps()
"""One for the process, as it has one clock."""
