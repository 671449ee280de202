"""The records of a journal as bytes: all that count, and those not yet written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

from edgeflow.engine.scope import Key
from edgeflow.values import loads

if TYPE_CHECKING:
    from collections.abc import Iterable

LineKey: TypeAlias = Key | tuple[str, str, None] | str
"""An entry's identity, ("state", key, None), or the name of a single record."""


SNAPSHOT_FLOOR = 8 * 1024
"""Bytes of frames below which no snapshot is worth its writing."""


def outbox_key(to: str, message: str) -> LineKey:
    """Name the record of a message under way: its id is unique in its inbox only."""
    return "outbox", to, message


# Empty, and replaced where something is put into them.
NO_LINES: dict[LineKey, bytes] = {}
NO_KEYS: dict[LineKey, None] = {}


class Lines:
    """One JSON record a line, encoded when it is set."""

    __slots__ = (
        "_all",
        "_dirty",
        "_fresh",
        "_room",
        "_since_snapshot",
        "_snapshot_size",
        "bytes",
        "mark",
    )

    def __init__(self, room: int) -> None:
        """Make snapshots of at most `room` bytes."""
        self.bytes = 0
        """How much is dirty."""
        self.mark = 0
        """How many changes there were."""
        self._all: dict[LineKey, bytes] = {}
        self._dirty: dict[LineKey, bytes] = NO_LINES
        self._fresh: dict[LineKey, None] = NO_KEYS
        """What was never written, not even in an older form."""
        self._room = room
        self._since_snapshot = 0
        self._snapshot_size = 0

    def __bool__(self) -> bool:
        """Whether anything is dirty."""
        return bool(self._dirty)

    def loaded(self, key: LineKey, line: bytes) -> None:
        """Take a line as it was read."""
        self._all[key] = line

    def measured(self, snapshot: int, since: int) -> None:
        """Note the bytes of the last snapshot, and of the frames after it."""
        self._snapshot_size, self._since_snapshot = snapshot, since

    def set(self, key: LineKey, line: bytes) -> None:
        """Make a line count, and dirty."""
        if key not in self._all:
            self._fresh = self._fresh or {}
            self._fresh[key] = None
        self._all[key] = line
        if self._dirty:
            self._dirty.pop(key, None)  # as in `note`: a call of it takes as long
        else:
            self._dirty = {}
        self._dirty[key] = line
        self.mark += 1
        self.bytes += len(line)

    def note(self, key: LineKey, line: bytes) -> None:
        """Let a line be written that no snapshot needs: it says what is no more."""
        if self._dirty:
            self._dirty.pop(key, None)  # a new line comes after what it speaks of
        else:
            self._dirty = {}
        self._dirty[key] = line
        self.mark += 1
        self.bytes += len(line)

    def drop(self, key: LineKey) -> bool:
        """Let a line count no longer; tell whether it may have been written."""
        self._all.pop(key, None)
        self._dirty.pop(key, None)
        written = key not in self._fresh
        self._fresh.pop(key, None)
        return written

    def is_new(self, key: LineKey) -> bool:
        """Tell whether no flush has taken it, in any form."""
        return key in self._fresh

    def forget(self, keys: Iterable[LineKey]) -> None:
        """Drop lines of which a noted line says that they are no more."""
        for key in keys:
            self.drop(key)

    def parsed(self, key: LineKey) -> dict[str, Any]:
        """Read a line again."""
        return cast("dict[str, Any]", loads(self._all[key]))

    def take(self, *, snapshot: bool) -> list[bytes]:
        """Take what is to be written: what is dirty, or all that counts."""
        dirty, self._dirty = self._dirty, NO_LINES
        self.bytes = 0
        self._fresh = NO_KEYS
        return list((self._all if snapshot else dirty).values())

    def dirty(self) -> list[bytes]:
        """Give what is dirty; it stays so."""
        return list(self._dirty.values())

    def wrote(self, size: int, *, snapshot: bool) -> None:
        """Note that so many bytes of frames were written."""
        if snapshot:
            self._snapshot_size, self._since_snapshot = size, 0
        else:
            self._since_snapshot += size

    @property
    def is_snapshot_due(self) -> bool:
        if self._since_snapshot <= max(SNAPSHOT_FLOOR, self._snapshot_size):
            return False
        return sum(map(len, self._all.values())) <= self._room
