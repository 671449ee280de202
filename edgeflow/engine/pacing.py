"""When a run is advanced: in the next turn of the host's loop, or by time alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.engine import listening, resting

if TYPE_CHECKING:
    import asyncio

    from edgeflow.clock import Alarm
    from edgeflow.engine.run import Run


class Pace:
    """Has `advance` called for one run; at most one call of each kind is to come."""

    __slots__ = ("_alarm", "_run", "_soon")

    def __init__(self, run: Run) -> None:
        """Nothing is to come yet."""
        self._run = run
        self._alarm: Alarm | None = None
        self._soon: asyncio.Handle | None = None

    def soon(self) -> None:
        """Advance the run from a callback of its own."""
        if self._soon is None:
            self._soon = self._run.host.call_soon(self._run.advance)

    def begun(self) -> None:
        """Take note that it is being advanced: what was to come soon is here."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    def set(self) -> None:
        """Advance it when the next thing can happen by time alone."""
        run = self._run
        self.stop()
        if run.resting is not None or run.is_ending:
            return
        if run.executing or (self._soon is not None and run.is_busy):
            run.flusher.keep_lease()
            if run.receivers or "parent" in run.journal.start:
                self._expect()
        if self._soon is not None:
            return  # then it is known better when
        when = resting.next_time(run)
        if when is not None:
            self._alarm = run.clock.call_at(when, run.advance)

    def _expect(self) -> None:
        """Look for messages of other processes while code runs."""
        run = self._run
        if resting.names_of(run):
            run.mailbox.expect(run.settings.poll, lambda: listening.look(run))

    def stop(self) -> None:
        """Let time alone do nothing."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
