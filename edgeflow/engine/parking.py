"""Runs at rest that stay in memory, the least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING

from edgeflow.engine.inbox import Inbox
from edgeflow.store import Resumes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeflow.clock import Alarm
    from edgeflow.engine.run import Run
    from edgeflow.engine.wiring import Wiring
    from edgeflow.store import Envelope


class Parking:
    """At most `places` runs; each is woken at its time."""

    def __init__(
        self, wiring: Wiring, places: int, wake: Callable[[str], None]
    ) -> None:
        """Call `wake` with the id of a run whose time has come."""
        self._wiring = wiring
        self._clock = wiring.clock
        self._places = places
        self._wake = wake
        self.resumes = wiring.store if isinstance(wiring.store, Resumes) else None
        """The store, if it has the power to resume."""
        self._runs: OrderedDict[str, tuple[Run, Alarm | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def park(self, run: Run) -> list[Run]:
        """Keep a run; give those that must leave for it."""
        rest = run.resting
        alarm = None
        if rest is not None and rest.wake_at is not None:
            alarm = self._clock.call_at(rest.wake_at, lambda: self._wake(run.id))
        self._runs[run.id] = (run, alarm)
        surplus = max(0, len(self._runs) - self._places)
        return [run for run, _ in islice(self._runs.values(), surplus)]

    def leave(self, run: Run) -> None:
        """Keep a run no longer, if it was kept."""
        _, alarm = self._runs.pop(run.id, (run, None))
        if alarm is not None:
            alarm.cancel()

    async def has_cause(self, run: Run) -> bool:
        """Tell whether a run at rest has anything to do now."""
        rest, now = run.resting, self._clock.now()
        if rest is None or (rest.wake_at is not None and rest.wake_at <= now):
            return True
        if not rest.awaiting:
            return False
        with self._clock.busy():
            unread = await self._wiring.store.unread(run.id)
        return self.is_cause(run, unread)

    def is_cause(self, run: Run, unread: Sequence[Envelope]) -> bool:
        """Tell whether a run at rest is due, by these messages or by time."""
        rest, now = run.resting, self._clock.now()
        if rest is None or (rest.wake_at is not None and rest.wake_at <= now):
            return True
        visible = Inbox(unread).visible_at(rest.awaiting)
        return visible is not None and visible <= now

    async def resume(self, run: Run, lease: float) -> Sequence[Envelope] | None:
        """Take the lease of a run, and read its inbox, at once; None: it is lost."""
        store = self.resumes
        if store is None:
            return None
        now, token, worker = self._clock.now(), run.journal.token, self._wiring.worker
        with self._clock.busy():
            return await store.resume(run.id, token, now, lease, worker)

    async def renew(self, run: Run, lease: float) -> bool:
        """Take the lease of a run again, or with 0 give it back; False: it is lost."""
        now, token = self._clock.now(), run.journal.token
        with self._clock.busy():
            return await self._wiring.store.renew(run.id, token, now, lease)
