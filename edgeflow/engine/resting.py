"""How a run rests, and when it can go on by time alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.engine import children
from edgeflow.engine.composing import Rest
from edgeflow.errors import BodyError
from edgeflow.late import replace

if TYPE_CHECKING:
    from edgeflow.engine.run import Run
    from edgeflow.store import Status


def rest_of(run: Run) -> Rest:
    """Say how the instance rests if it rests now.

    Raises:
        BodyError: if it waits for something that can never happen.
    """
    if run.is_busy:
        return at_work(run)
    now = run.clock.now()
    idle: Status = "undoing" if run.journal.undo else "suspended"
    names = awaited(run)
    every = names_of(run)
    wake_at = cause_at(run)
    if run.eviction is not None:
        return Rest(idle, wake_at, every, due=run.eviction.at)
    if wake_at is None and not names:
        raise BodyError(
            "the body waits for something that edgeflow does not know and that "
            "can never happen, such as a thread or a future of another event loop. "
            "Do this in a step, and wait for that"
        )
    lease, stays = 0.0, False
    if run.linger_until is None:  # it may stay in memory
        stays = wake_at is not None and wake_at <= now + run.settings.linger
        lease = run.settings.lease if stays else run.settings.linger if names else 0.0
    return Rest(idle, wake_at, every, due=wake_at, lease=lease, stays=stays)


def at_work(run: Run) -> Rest:
    """Say that code of the instance runs, or that it owes something to others."""
    busy: Status = "undoing" if run.journal.undo else "running"
    written, due = run.journal.written, run.clock.now()
    if written is not None and not written.resting and written.due is not None:
        due = min(due, written.due)  # what stays as it is need not be written anew
    return Rest(busy, due=due, lease=run.settings.lease, resting=False)


def cut_off(run: Run) -> Rest:
    """Say how the instance rests if its code is cut off in the middle: due at once."""
    idle: Status = "undoing" if run.journal.undo else "suspended"
    return Rest(idle, due=run.clock.now())


def leave(run: Run, written: Rest, until: float) -> Rest | None:
    """Say how it rests now that goes on by a new claim only; None: it waits still.

    Others may claim it from `until` on, in s since the epoch. If it is due before, they
    need not wait for that.
    """
    now, wake_at = run.clock.now(), cause_at(run)
    is_due = wake_at is not None and wake_at <= now
    if now < until and not is_due:
        return None
    run.borrowed |= now < until
    if wake_at == written.wake_at:
        return written
    return replace(written, wake_at=wake_at)


def cause_at(run: Run) -> float | None:
    """Tell when the instance has anything to do, as far as is known here."""
    return earliest(run.timers.next(), run.mailbox.visible_at(names_of(run)))


def next_time(run: Run) -> float | None:
    """Tell when `run.advance` is to be called though nothing else happens."""
    if run.flusher.in_flight and not (run.executing or run.timers or run.receivers):
        return None  # the answer is what happens next
    when = None if run.flusher.in_flight else run.linger_until
    let_go_at = None if run.mailbox.is_fetching else run.flusher.let_go_at
    if let_go_at is not None:
        when = earliest(when, let_go_at, cause_at(run))
    if run.executing:
        cut_at = None if run.eviction is None else run.eviction.cut_at
        when = earliest(when, cut_at, run.flusher.next_time())
    if run.can_go_on:
        when = earliest(when, cause_at(run))
    return when


def names_of(run: Run) -> tuple[str, ...]:
    """Give the names of all messages that make it due: its cancellation too."""
    cancelled = children.cancel_name(run.journal)
    return (*dict.fromkeys(awaited(run)), *([cancelled] if cancelled else ()))


def awaited(run: Run) -> list[str]:
    """Give the names of the messages that the body waits for, the oldest wait first."""
    return [name for op in run.receivers.values() for name in op.names]


def earliest(*times: float | None) -> float | None:
    """Give the earliest of some times, if any."""
    return min((time for time in times if time is not None), default=None)
