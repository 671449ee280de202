"""Time, as the engine asks for it: nothing else in the library reads a clock."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


class Alarm(Protocol):
    """A call to come; cancelling it late or twice does nothing."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What time it is, and calls to come."""

    def now(self) -> float:
        """Seconds since the epoch, UTC. It may jump, also back."""
        ...

    def call_at(
        self, when: float, callback: Callable[[], object], *, idle: bool = False
    ) -> Alarm:
        """Call back from the running loop at `when` (s since the epoch) or later.

        `idle` marks a mere look around, for which virtual time need not move.
        """
        ...

    def busy(self) -> AbstractContextManager[object]:
        """Tell that a store or a thread is at work: virtual time stands meanwhile."""
        ...


NOTHING = nullcontext()


class SystemClock:
    """The clock of the machine."""

    def now(self) -> float:
        return time.time()

    def call_at(
        self,
        when: float,
        callback: Callable[[], object],
        *,
        idle: bool = False,
    ) -> Alarm:
        delay = max(0.0, when - time.time())
        return asyncio.get_running_loop().call_later(delay, callback)

    def busy(self) -> AbstractContextManager[object]:
        return NOTHING


def seconds(duration: float | timedelta) -> float:
    """Give a duration as seconds.

    Raises:
        TypeError: if it is neither a number nor a timedelta.
    """
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if type(duration) not in (int, float):
        raise TypeError(
            f"a duration is seconds or a timedelta, not {type(duration).__name__}"
        )
    if duration != duration:  # noqa: PLR0124  NaN is what differs from itself
        raise TypeError("a duration cannot be NaN")
    return float(duration)
