"""Between the values of `edgeflow.store` and rows."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from edgeflow.store import TERMINAL, Envelope, Frame, Head, Loaded
from edgeflow_sqlite import _schema as sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from edgeflow.store import Commit

Value: TypeAlias = "str | bytes | float | None"
Row: TypeAlias = "tuple[Value, ...]"

_PLAIN = len(sql.PLAIN_COLUMNS)
_NOTHING: Row = (None,) * 4
_BLANKS: Row = (None,) * 8
_AMONG: Row = (sql.PLAIN, None, None, *_NOTHING)


class _Bodies:
    """Bodies of messages on their way, as one blob."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, body: bytes) -> tuple[int, int]:
        """Return where the body starts, counted from 1, and its length."""
        start = self.size + 1
        self.parts.append(body)
        self.size += len(body)
        return start, len(body)


def encode(instance: str, commit: Commit) -> Sequence[Row]:
    """Return one row for each frame; the last one carries the rest."""
    if len(commit.frames) == 1:
        return (_last(instance, commit, commit.seq, commit.frames[0]),)
    *parts, (seq, last) = enumerate(commit.frames, commit.seq)
    rows = [_part(instance, commit, *part) for part in parts]
    return [*rows, _last(instance, commit, seq, last)]


def insertion(rows: Sequence[Row]) -> tuple[str, Sequence[Value]]:
    """Return the statement, and its values, that writes rows in one transaction."""
    if len(rows) == 1:
        (row,) = rows
        return sql.insert(1, plain=len(row) == _PLAIN), row
    is_plain = all(len(row) == _PLAIN for row in rows)
    if not is_plain:
        rows = [row if len(row) > _PLAIN else (*row, *_AMONG) for row in rows]
    room = _room(len(rows))
    values = [*chain.from_iterable(rows)]
    values += [None] * ((room - len(rows)) * len(rows[0]))
    return sql.insert(room, plain=is_plain), values


def _room(rows: int) -> int:
    """Round up, so that there are few statements to prepare, yet few empty rows."""
    step = max(1, (1 << rows.bit_length()) // 8)
    return -(-rows // step) * step


def _part(instance: str, commit: Commit, seq: int, body: bytes) -> Row:
    return (
        *(instance, commit.seq, None, None, body),
        *_BLANKS,
        *(sql.PART, seq, commit.snapshot),
        *_NOTHING,
    )


def _last(instance: str, commit: Commit, seq: int, body: bytes) -> Row:
    c = commit
    awaits = _json(c.awaiting) if c.awaiting else "[]"
    plain = (
        *(instance, c.seq, c.opens, c.token, body, c.workflow, c.status),
        *(c.wake_at, _due(c), awaits, c.now, _lease(c), c.worker),
    )
    if c.seq > 1 and c.seq == seq and not _has_more(c):
        return plain
    kind = sql.START if c.seq == 1 else sql.NEXT
    return (*plain, kind, seq, c.snapshot, *_messages(c))


def _has_more(commit: Commit) -> bool:
    """Whether it touches more than one frame and the head."""
    waits = commit.awaiting and commit.status == "suspended"
    return bool(
        commit.acks or commit.sends or commit.restored or commit.snapshot or waits
    )


def _messages(commit: Commit) -> Row:
    """Return acks, restored, sends and bodies."""
    if not (commit.acks or commit.restored or commit.sends):
        return _NOTHING
    bodies = _Bodies()
    restored = [
        (message_id, *bodies.add(content))
        for message_id, content in zip(
            commit.restored, commit.restored_bodies, strict=True
        )
    ]
    sends = [(m.to, m.id, m.name, *bodies.add(m.body), m.at) for m in commit.sends]
    return (
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


_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


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
