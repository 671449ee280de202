"""How a run rests, and when it can go on by time alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.engine.journal import Rest
from edgeflow.errors import BodyError

if TYPE_CHECKING:
    from edgeflow.engine.run import Run


def rest_of(run: Run) -> Rest:
    """Say how the instance rests if it rests now.

    Raises:
        BodyError: if it waits for something that can never happen.
    """
    now = run.clock.now()
    if run.is_busy:
        return Rest("running", due=now, lease=run.settings.lease)
    names = tuple(dict.fromkeys(awaited(run)))
    wake_at = earliest(run.timers.next(), run.mailbox.visible_at(names))
    if run.stopping:
        return Rest("suspended", wake_at, names, due=run.stopped_at)
    if wake_at is None and not names:
        raise BodyError(
            "the body waits for something that edgeflow does not know and that "
            "can never happen, such as a thread or a future of another event loop. "
            "Do this in a step, and wait for that"
        )
    lease = 0.0
    if run.linger_until is None:  # it may stay in memory
        near = wake_at is not None and wake_at <= now + run.settings.linger
        lease = run.settings.lease if near else run.settings.linger if names else 0.0
    return Rest("suspended", wake_at, names, due=wake_at, lease=lease)


def next_time(run: Run) -> float | None:
    """Tell when `run.advance` is to be called though nothing else happens."""
    when = None if run.flusher.in_flight else run.linger_until
    if run.executing:
        when = earliest(when, run.cut_at, run.flusher.next_time())
    if run.can_go_on:
        names = awaited(run)
        when = earliest(when, run.timers.next(), run.mailbox.visible_at(names))
    return when


def awaited(run: Run) -> list[str]:
    """Give the names of the messages that the body waits for, the oldest wait first."""
    return [name for op in run.receivers.values() for name in op.names]


def earliest(*times: float | None) -> float | None:
    """Give the earliest of some times, if any."""
    return min((time for time in times if time is not None), default=None)
