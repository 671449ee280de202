"""What the values hold: a line of JSON, then bodies."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from edgeflow.errors import JournalDamaged
from edgeflow.store import TERMINAL, Frame, Head
from edgeflow_kv._keys import Note
from edgeflow_kv._stamps import STAMPS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeflow.store import Status


class Back(NamedTuple):
    """A consumed message that is unread again."""

    note: Note
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one commit wrote under its position: the header, and the bodies."""

    position: int
    stamp: int
    """Makes each attempt to write it another value."""
    after: int = 0
    """Stamp of the frame that it was written on top of; 0 if there was none."""
    life: int
    snap: int
    """Position of the last snapshot, itself included."""
    clean: int
    """Below this position all is trimmed."""
    fence: bool
    """Whether its key stays for ever: an older owner may yet try to write there."""
    released: bool
    """Whether its owner writes on top of it only like an OPEN."""
    deleted: bool = False
    seq: int = 0
    """Number of the first frame in it."""
    token: str = ""
    workflow: str = ""
    status: Status = "pending"
    wake_at: float | None = None
    awaiting: tuple[str, ...] = ()
    due: float | None = None
    updated: float = 0.0
    lease: float = 0.0
    """Claims pass the instance over until then."""
    wake: str | None = None
    """The key that brings somebody, if nothing comes earlier."""
    old: tuple[str, ...] = ()
    """Wake keys that are of no use any more."""
    acks: tuple[Note, ...] = ()
    sizes: tuple[int, ...] = ()
    """Of the frames, then of the bodies of `backs`, in bytes."""
    backs: tuple[Note, ...] = ()
    bodies: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def last(self) -> int:
        """Number of the last frame; 0 if the instance is not there."""
        count = len(self.sizes) - len(self.backs)
        return 0 if self.deleted else self.seq + count - 1

    @property
    def is_cut(self) -> bool:
        """Whether everything below it is of no account."""
        return self.deleted or self.snap == self.position

    @property
    def is_over(self) -> bool:
        """Whether it is never due: ended, blocked or deleted."""
        return self.deleted or self.status == "blocked" or self.has_ended

    @property
    def has_ended(self) -> bool:
        return not self.deleted and self.status in TERMINAL

    def frames(self) -> list[Frame]:
        count = len(self.sizes) - len(self.backs)
        return [Frame(n, body) for n, body in enumerate(self.bodies[:count], self.seq)]

    def returned(self) -> list[Back]:
        """Give the messages that it made unread again, with their bodies."""
        first = len(self.sizes) - len(self.backs)
        return [
            Back(*pair) for pair in zip(self.backs, self.bodies[first:], strict=True)
        ]

    def head(self, instance: str, lease: float = 0.0) -> Head:
        """Give the head, with the lease that counts, if it was read."""
        return Head(
            instance=instance,
            seq=self.last,
            token=bytes.fromhex(self.token),
            workflow=self.workflow,
            status=self.status,
            wake_at=self.wake_at,
            awaiting=self.awaiting,
            updated=self.updated,
            lease=lease,
        )

    def encode(self) -> bytes:
        return _join(_header(self), self.bodies)

    def listing(self, instance: str) -> bytes:
        """Give what `h/` holds: the header, with the id that the key may not hold."""
        header = _header(replace(self, acks=(), old=()))
        return _join({**header, "instance": instance}, ())


def _header(record: Record) -> dict[str, Any]:
    names = (f.name for f in fields(record) if f.name != "bodies")
    return {name: getattr(record, name) for name in names}


def decode(key: str, value: bytes) -> Record:
    """Read a frame.

    Raises:
        JournalDamaged: if it is none; names the key.
    """
    header, data = parse(key, value)
    return _record(key, header, data)


def decode_listing(key: str, value: bytes) -> tuple[str, Record]:
    """Read what `h/` holds, and give the instance and the header.

    Raises:
        JournalDamaged: if it is none; names the key.
    """
    header, _ = parse(key, value)
    instance: str = header.pop("instance", "")
    return instance, _record(key, header, None)


def _record(key: str, header: dict[str, Any], data: bytes | None) -> Record:
    try:
        for name in ("awaiting", "old", "sizes"):
            header[name] = tuple(header[name])
        for name in ("acks", "backs"):
            header[name] = tuple(Note(*note) for note in header[name])
        record = Record(**header)
    except (KeyError, TypeError) as error:
        raise JournalDamaged(f"the value of {key!r} is damaged: {error}") from error
    STAMPS.saw(record.stamp)
    if data is None:
        return record
    if sum(record.sizes) != len(data):
        raise JournalDamaged(f"the value of {key!r} is cut short")
    return replace(record, bodies=tuple(_split(data, record.sizes)))


def _split(data: bytes, sizes: Iterable[int]) -> Iterable[bytes]:
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size


def encode_message(note: Note, body: bytes | None) -> bytes:
    """Write a message; None: it is consumed, and only its note is kept."""
    return _join({"note": note, "unread": body is not None}, (body or b"",))


class Post(NamedTuple):
    """A message as it is stored."""

    note: Note
    body: bytes | None
    """None: it is consumed."""


def decode_message(key: str, value: bytes) -> Post:
    """Read a message.

    Raises:
        JournalDamaged: if it is none; names the key.
    """
    header, body = parse(key, value, "note", "unread")
    note = Note(*header["note"])
    STAMPS.saw(note.stamp)
    return Post(note, body if header["unread"] else None)


def encode_line(**content: Any) -> bytes:
    """Write a small value: an entry of an index, a wake, a lease."""
    return _join(content, ())


def parse(key: str, value: bytes, *names: str) -> tuple[dict[str, Any], bytes]:
    """Split a value into its line, which must have these names, and its bodies.

    Raises:
        JournalDamaged: if it is not like that; names the key.
    """
    line, _, data = value.partition(b"\n")
    try:
        header: dict[str, Any] = json.loads(line)
        missing = [name for name in names if name not in header]
    except (TypeError, ValueError) as error:
        raise JournalDamaged(f"the value of {key!r} is damaged: {error}") from error
    if missing:
        raise JournalDamaged(f"the value of {key!r} is damaged: it has no {missing}")
    return header, data


def _join(header: dict[str, Any], bodies: Iterable[bytes]) -> bytes:
    line = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    return b"\n".join([line, b"".join(bodies)])
