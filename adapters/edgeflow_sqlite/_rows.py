"""Between the values of `edgeflow.store` and rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from edgeflow.store import TERMINAL, Envelope, Frame, Head, Loaded
from edgeflow_sqlite import _schema as sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from edgeflow.store import Commit

Value: TypeAlias = "str | bytes | float | None"
Row: TypeAlias = "tuple[Value, ...]"


@dataclass(slots=True)
class _Bodies:
    """Bodies of messages on their way, as one blob."""

    parts: list[bytes] = field(default_factory=list[bytes])
    size: int = 0

    def add(self, body: bytes) -> tuple[int, int]:
        """Return where the body starts, counted from 1, and its length."""
        start = self.size + 1
        self.parts.append(body)
        self.size += len(body)
        return start, len(body)


def encode(instance: str, commit: Commit) -> list[Row]:
    """Return one row for each frame; the last one carries the rest."""
    *parts, last = enumerate(commit.frames, commit.seq)
    blanks: Row = (None,) * 12
    rows: list[Row] = [
        (instance, seq, commit.seq, 0, None, None, commit.snapshot, body, *blanks)
        for seq, body in parts
    ]
    return [*rows, _last(instance, commit, *last)]


def insertion(rows: Sequence[Row]) -> tuple[str, list[Value]]:
    """Return the statement, and its values, that writes rows in one transaction."""
    room = 1 << (len(rows) - 1).bit_length()  # few statements to prepare
    values = [value for row in rows for value in row]
    values += [None] * (room * len(sql.COMMIT_COLUMNS) - len(values))
    return sql.insert_commits(room), values


def _last(instance: str, commit: Commit, seq: int, body: bytes) -> Row:
    bodies = _Bodies()
    restored = [
        (message_id, *bodies.add(content))
        for message_id, content in zip(
            commit.restored, commit.restored_bodies, strict=True
        )
    ]
    sends = [(m.to, m.id, m.name, *bodies.add(m.body), m.at) for m in commit.sends]
    return (
        *(instance, seq, commit.seq, 1, commit.opens, commit.token, commit.snapshot),
        *(body, commit.workflow, commit.status, commit.wake_at, _due(commit)),
        *(_json(commit.awaiting), commit.now, _lease(commit), commit.worker),
        _json(commit.acks) if commit.acks else None,
        _json(restored) if restored else None,
        _json(sends) if sends else None,
        b"".join(bodies.parts) if bodies.parts else None,
    )


def _due(commit: Commit) -> float | None:
    """Heads that must not be claimed are never due; the rest is in the triggers."""
    idle = commit.status in TERMINAL or commit.status == "blocked"
    return None if idle else commit.due


def _lease(commit: Commit) -> float:
    return commit.now + commit.lease if commit.lease > 0 else 0.0


def _json(value: Sequence[object]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def loaded(instance: str, rows: Iterable[Sequence[Any]]) -> Loaded | None:
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


def to_head(row: Sequence[Any]) -> Head:
    """Make a head from a row of `FIND`."""
    instance, seq, token, workflow, status, wake_at, awaits, updated, lease = row
    return Head(
        instance=instance,
        seq=seq,
        token=token,
        workflow=workflow,
        status=status,
        wake_at=wake_at,
        awaiting=tuple(json.loads(awaits)),
        updated=updated,
        lease=lease,
    )
