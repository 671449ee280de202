"""Between the values of `edgeflow.store` and parameters and rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from edgeflow.store import TERMINAL, Envelope, Frame, Head, Loaded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgeflow.store import Commit, Query

Row: TypeAlias = "Sequence[Any]"

_HEAD = "id, seq, token, workflow, status, wake_at, awaits, updated, lease"
PAGE = 256
"""How many heads `find` reads at a time."""


def encode(namespace: str, instance: str, commit: Commit) -> list[object]:
    """Give the arguments of the function that commits."""
    c, sends = commit, commit.sends
    return [
        *(namespace, instance, c.seq, c.token, c.opens, c.snapshot, list(c.frames)),
        *(c.workflow, c.status, _seconds(c.wake_at), _seconds(_due(c))),
        *(list(c.awaiting), float(c.now), float(c.lease), c.worker),
        *(list(c.acks), list(c.restored), list(c.restored_bodies)),
        *([m.to for m in sends], [m.id for m in sends], [m.name for m in sends]),
        *([m.body for m in sends], [float(m.at) for m in sends]),
    ]


def _due(commit: Commit) -> float | None:
    """Heads that must not be claimed are never due; the rest is in the functions."""
    idle = commit.status in TERMINAL or commit.status == "blocked"
    return None if idle else commit.due


def _seconds(time: float | None) -> float | None:
    return None if time is None else float(time)


def loaded(instance: str, rows: Iterable[Row]) -> Loaded | None:
    """Put the rows of `LOAD` together; None if there is no head."""
    head: Head | None = None
    frames: list[Frame] = []
    messages: list[Envelope] = []
    for kind, n, body, *rest in sorted(rows, key=lambda row: (row[0], row[1])):
        if kind == 0:
            head = to_head((instance, n, body, *rest))
        elif kind == 1:
            frames.append(Frame(n, body))
        else:
            message_id, name, at, *_ = rest
            messages.append(Envelope(instance, message_id, name, body, at))
    return None if head is None else Loaded(head, tuple(frames), tuple(messages))


def to_head(row: Row) -> Head:
    """Make a head from a row of `page`."""
    instance, seq, token, workflow, status, wake_at, awaits, updated, lease = row
    return Head(
        instance=instance,
        seq=seq,
        token=token,
        workflow=workflow,
        status=status,
        wake_at=wake_at,
        awaiting=tuple(awaits),
        updated=updated,
        lease=lease,
    )


def page(namespace: str, query: Query, after: str | None) -> tuple[str, list[object]]:
    """Give the statement that reads the next heads, and its parameters."""
    terms = {
        "ns =": namespace,
        "workflow =": query.workflow,
        "status =": query.status,
        "id >": after,
    }
    given = {term: value for term, value in terms.items() if value is not None}
    where = " and ".join(f"{term} %s" for term in given)
    # The terms are ours; the values go apart.
    text = f"select {_HEAD} from edgeflow.head where {where} order by id limit {PAGE}"  # noqa: S608  as said above
    return text, [*given.values()]
