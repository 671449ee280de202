"""Runs at rest that stay in memory, the least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.clock import Alarm, Clock
    from edgeflow.engine.run import Run


class Parking:
    """At most `places` runs; each is woken at its time."""

    def __init__(self, clock: Clock, places: int, wake: Callable[[str], None]) -> None:
        """Call `wake` with the id of a run whose time has come."""
        self._clock = clock
        self._places = places
        self._wake = wake
        self._runs: OrderedDict[str, tuple[Run, Alarm | None]] = OrderedDict()

    def park(self, run: Run) -> list[Run]:
        """Keep a run; give those that must leave for it."""
        rest = run.resting
        alarm = None
        if rest is not None and rest.wake_at is not None:
            alarm = self._clock.call_at(rest.wake_at, lambda: self._wake(run.id))
        self._runs[run.id] = (run, alarm)
        surplus = len(self._runs) - self._places
        return [run for run, _ in list(self._runs.values())[: max(0, surplus)]]

    def leave(self, run: Run) -> None:
        """Keep a run no longer, if it was kept."""
        _, alarm = self._runs.pop(run.id, (run, None))
        if alarm is not None:
            alarm.cancel()
