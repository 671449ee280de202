"""How a worker goes about its work, and what it makes of a run's end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.engine.inbox import shown
from edgeflow.engine.opening import error_of, undo_errors_of
from edgeflow.engine.settings import Body
from edgeflow.late import dataclass, replace
from edgeflow.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from edgeflow.clock import Alarm
    from edgeflow.engine.journal import Journal
    from edgeflow.engine.observing import Observers
    from edgeflow.engine.run import Run
    from edgeflow.engine.settings import Settings
    from edgeflow.engine.undo import Undo
    from edgeflow.errors import BodyError

RESTLESS = {"pending", "suspended", "undoing"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an app decides for its worker; times in seconds."""

    settings: Callable[[str], Settings]
    """For a workflow of this name."""
    body: Callable[[str], Body]
    """For a workflow of this name; an unknown one gives a body that is refused."""
    decode: Callable[[str, Any], Any]
    """Makes the output of a workflow of this name what the caller gets."""
    token: Callable[[], bytes]
    """16 random bytes."""
    observers: Observers
    chance: Callable[[], float]
    """A random number in 0 to 1, for jitter."""
    lease: float = 30.0
    poll: float = 1.0
    max_parked: int = 1000
    max_running: int = 100
    grace: float = 8.0
    margin: float = 1.0
    keep_finished: float | None = None

    @property
    def reserve(self) -> float:
        """Seconds between the end of the grace and that of the process.

        In them steps that were cut off clean up, and the last flush is written. Where
        there is little in all, as on Lambda (0.5 s), an eighth is too little for it.
        """
        return min(max(self.grace / 8, 0.1), self.margin, 1.0)

    def stop_before(
        self, run: Run, began: float, deadline: float | None
    ) -> Alarm | None:
        """Have a run suspend in time for a deadline, in seconds from `began`."""
        if deadline is None:
            return None
        grace = min(self.grace, deadline / 5)
        cut, heed = began + deadline - self.margin, self.margin / 5
        return run.clock.call_at(cut - grace, lambda: run.stop(grace, heed))

    def look_at(self, outcome: Outcome[Any], now: float) -> float:
        """Tell when to look at an instance again that rests like this."""
        when = now + self.poll
        if outcome.wake_at is not None and outcome.status != "running":
            return min(when, outcome.wake_at) if outcome.awaiting else outcome.wake_at
        if not outcome.awaiting and outcome.status in RESTLESS:
            return now  # evicted, or changed from outside: due at once
        return when

    def outcome_of(self, run: Run) -> Outcome[Any]:
        """Say how a run rests."""
        rest = run.resting
        if rest is None:
            return Outcome("running")
        outcome: Outcome[Any] = Outcome(
            rest.status,
            run.journal.end.get("output"),
            error_of(run.journal),
            rest.wake_at,
            shown(rest.awaiting),
            undo_errors_of(run.journal),
        )
        return self.decoded(run.journal, outcome)

    def decoded(self, journal: Journal, outcome: Outcome[Any]) -> Outcome[Any]:
        """Make the output of an outcome what the caller gets."""
        if outcome.status != "completed":
            return outcome
        output = self.decode(journal.start["workflow"], outcome.output)
        return replace(outcome, output=output)


def refused(error: BodyError) -> Body:
    """Give a body that blocks its instance, and is never entered."""

    def begin(_run: Run) -> Coroutine[Any, Any, Any]:
        raise error

    def find_undo(_name: str) -> Undo | None:
        raise error

    return Body(begin, lambda value: value, find_undo)
