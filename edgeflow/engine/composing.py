"""Putting together what one flush writes: the commit, and whom it makes due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from edgeflow.engine import frames
from edgeflow.late import dataclass, field
from edgeflow.platform import Alarm
from edgeflow.store import Commit, Envelope, Status

if TYPE_CHECKING:
    from edgeflow.engine.journal import Journal


@dataclass(slots=True)
class Rest:
    """What a flush says of the instance as a whole: it becomes the head."""

    status: Status
    wake_at: float | None = None
    awaiting: tuple[str, ...] = ()
    due: float | None = None
    lease: float = field(default=0.0, compare=False)
    resting: bool = True
    """Whether no code of the instance runs; else a process that is gone has died."""
    stays: bool = field(default=False, compare=False)
    """Whether it goes on here in a moment, so that nobody need be asked to wake it."""


@dataclass(slots=True)
class Outbox:
    """What rides in the next flush beside the lines."""

    acks: list[str] = field(default_factory=list[str])
    sends: list[Envelope] = field(default_factory=list[Envelope])
    restored: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def __bool__(self) -> bool:
        return bool(self.acks or self.sends or self.restored)

    def fields(self) -> dict[str, Any]:
        """Give what a commit holds of it."""
        return {
            "acks": tuple(self.acks),
            "restored": tuple(self.restored),
            "restored_bodies": tuple(self.restored.values()),
            "sends": tuple(self.sends),
        }

    def copy(self) -> Outbox:
        """Give one that does not change with this."""
        return Outbox([*self.acks], [*self.sends], {**self.restored})


NO_OUTBOX = Outbox()
"""Empty, and replaced by who puts something into it."""

Taken: TypeAlias = tuple[Commit, Rest, int, list[Envelope]]
"""A commit, the rest in it, its last change, and what it may have to deliver."""


class Place(NamedTuple):
    """Where a commit goes, and what it is to those who open the instance."""

    after: int
    """Number of the frame that it follows."""
    prev: int
    """The same, or 0: it builds on nothing, because nothing is there, or to stay."""
    deaths: int
    opens: bool = False
    snapshot: bool = False


def compose(
    journal: Journal, rest: Rest, lines: list[bytes], outbox: Outbox, place: Place
) -> Commit:
    """Make a commit of lines and of what rides with them, to which `rest` fits."""
    wiring = journal.wiring
    now = wiring.clock.now()
    due = now if journal.undelivered else rest.due
    header = {
        "at": journal.tick(now),
        "n": journal.completions,
        "status": rest.status,
        "wake_at": rest.wake_at,
        "awaiting": rest.awaiting,
        "due": due,
        "resting": rest.resting,
        "deaths": place.deaths,
        "version": wiring.version,
        "prev": 0 if place.snapshot else place.prev,
    }
    limit = wiring.store.limits.max_frame
    return Commit(
        seq=place.after + 1,
        frames=frames.build(header, lines, limit, wiring.codec),
        token=journal.token,
        opens=place.opens,
        snapshot=place.snapshot or place.after == 0,
        workflow=journal.start["workflow"],
        status=rest.status,
        wake_at=rest.wake_at,
        awaiting=rest.awaiting,
        due=due,
        now=now,
        lease=rest.lease,
        worker=wiring.worker,
        **({} if outbox is NO_OUTBOX else outbox.fields()),
    )


def alarms_of(instance: str, commit: Commit, rest: Rest) -> list[Alarm]:
    """Say whom the platform is to wake, and when, because of a commit."""
    alarms = [
        Alarm(message.to, message.id, max(message.at, commit.now))
        for message in commit.sends
        if not message.to.startswith("~")  # an address, where an answer is awaited
    ]
    if rest.resting and not rest.stays and commit.due is not None:
        alarms.append(Alarm(instance, str(commit.last), commit.due))
    return alarms
