"""How a worker goes about its work, and what it makes of a run's end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgeflow.engine.failures import info
from edgeflow.engine.settings import Body
from edgeflow.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from edgeflow.engine.journal import Journal
    from edgeflow.engine.run import Run
    from edgeflow.engine.settings import Settings
    from edgeflow.errors import BodyError


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
    lease: float = 30.0
    poll: float = 1.0
    max_parked: int = 1000
    max_running: int = 100
    grace: float = 8.0
    margin: float = 1.0

    def outcome_of(self, run: Run) -> Outcome[Any]:
        """Say how a run rests."""
        rest, end = run.resting, run.journal.end
        if rest is None:
            return Outcome("running")
        if rest.status == "suspended":
            return Outcome(rest.status, wake_at=rest.wake_at, awaiting=rest.awaiting)
        error = end.get("error")
        described = info(error) if error else None
        outcome: Outcome[Any] = Outcome(rest.status, end.get("output"), described)
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

    return Body(begin, lambda value: value)
