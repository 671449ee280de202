"""How a run comes to rest before its time: a deadline, a drain, a lost process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.engine import ending

if TYPE_CHECKING:
    from edgeflow.engine.run import Run

HEED_SECONDS = 1.0
"""How long a cancelled step may take to clean up before it is left alone."""


class Eviction:
    """Lets the running steps of a run end, then cuts them off; nothing new begins."""

    def __init__(self, run: Run, grace: float, heed: float) -> None:
        """Tell the steps; they have `grace` seconds, and `heed` more to clean up."""
        self._run = run
        self._heed = heed
        self.at = run.clock.now()
        """When it was asked for, in s since the epoch."""
        self.cut_at = self.at + grace
        """When the steps that still run are cut off."""
        self._was_cut = False
        for op in run.executing.values():
            op.tell_to_stop()

    def tighten(self, grace: float, heed: float) -> None:
        """Leave the steps less time than they had, if it is less."""
        self._heed = min(self._heed, heed)
        if not self._was_cut:
            self.cut_at = min(self.cut_at, self._run.clock.now() + grace)

    def is_over(self) -> bool:
        """Tell whether no step runs any more; see to it that this comes true."""
        run = self._run
        if not run.executing:
            return True
        if run.clock.now() >= self.cut_at:
            self._cut()
        if run.journal.dirty and run.flusher.flush():
            run.advance_soon()
        return False

    def _cut(self) -> None:
        """Cancel the running steps; those that do not heed it are left alone."""
        run = self._run
        for op in list(run.executing.values()):
            op.cut()
        if self._was_cut:
            ending.stop_steps(run)
            run.executing.clear()
            run.advance_soon()
        else:
            run.journal.deaths += 1
        self._was_cut = True
        self.cut_at = run.clock.now() + self._heed
