"""The journal of one instance: the only room that writes.

In memory it is a map of lines, one JSON record each, encoded when recorded. In
the store it is a log of frames; one flush writes all dirty lines as one frame,
together with the head, acknowledged messages and outgoing ones.

Swap, then write: a flush takes the dirty set away before it awaits, and what
changes meanwhile is in the next one. A flush that fails is tried again as the
same commit; if it fails for good the run is given up, and the journal with it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from edgeflow.engine import frames
from edgeflow.engine.committing import Committer
from edgeflow.engine.scope import Key, Path, key_of, show
from edgeflow.errors import JournalDamaged, ValueTooLarge
from edgeflow.store import Commit, Envelope, Loaded, Status, Store
from edgeflow.values import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgeflow.clock import Clock

LineKey: TypeAlias = Key | tuple[str, str, None] | str
"""An entry's identity, ("state", key, None), or the name of a single record."""

SNAPSHOT_FLOOR = 64 * 1024
"""Bytes of frames below which no snapshot is worth its writing."""


@dataclass(slots=True)
class Entry:
    """What the journal knows of one operation."""

    key: Key
    path: Path
    data: dict[str, Any]
    mark: int = 0
    """Which change of the journal this was; 0 for what was loaded."""
    delivered: bool = False

    @property
    def status(self) -> str:
        return str(self.data["status"])

    @property
    def attempts(self) -> int:
        return int(self.data.get("attempts", 0))


@dataclass(frozen=True, slots=True)
class Rest:
    """What a flush says of the instance as a whole: it becomes the head."""

    status: Status
    wake_at: float | None = None
    awaiting: tuple[str, ...] = ()
    due: float | None = None
    lease: float = field(default=0.0, compare=False)


@dataclass(slots=True)
class Outbox:
    """What rides in the next flush beside the lines."""

    acks: list[str] = field(default_factory=list[str])
    sends: list[Envelope] = field(default_factory=list[Envelope])


@dataclass(slots=True)
class Wiring:
    """What a journal needs of the process around it."""

    store: Store
    clock: Clock
    codec: frames.Codec
    worker: str
    version: str | None = None


class Journal:
    """Entries, state and status of one instance, and how they become durable."""

    def __init__(self, wiring: Wiring, instance: str, token: bytes) -> None:
        """Make an empty journal; `token` is what this owner will write with."""
        self.wiring = wiring
        self.instance = instance
        self.token = token
        self.entries: dict[Key, Entry] = {}
        self.state: dict[str, bytes] = {}
        """Committed or about to be; replaced, never changed, so drafts can keep it."""
        self.start: dict[str, Any] = {}
        self.progress: Any = None
        self.end: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.replay: deque[Entry] = deque()
        """Recorded completions, not yet handed out, in their order."""
        self.now = 0.0
        """The time recorded last: it never goes back."""
        self.seq = 0
        self.deaths = 0
        self.dirty_bytes = 0
        self.mark = 0
        self.durable = 0
        self.written: Rest | None = None
        self._prev = 0
        self._completions = 0
        self._lines: dict[LineKey, bytes] = {}
        self._dirty: dict[LineKey, bytes] = {}
        self._outbox = Outbox()
        self.undelivered: dict[str, Envelope] = {}
        """Sent, but not with the commit: to be delivered before they are forgotten."""
        self._committer = Committer(wiring.store, wiring.clock, instance)
        self._since_snapshot = 0
        self._snapshot_size = 0
        self.max_value = wiring.store.limits.max_frame - frames.HEADER_ROOM
        """The largest JSON of one value, in bytes."""

    # --- what was written -------------------------------------------------

    @classmethod
    def load(cls, wiring: Wiring, loaded: Loaded, token: bytes) -> Journal:
        """Rebuild a journal from its frames.

        Raises:
            JournalDamaged: if frames are missing, damaged, or of a newer format.
        """
        journal = cls(wiring, loaded.head.instance, token)
        chain = frames.read(loaded.frames, wiring.codec)
        for line in chain.records():
            journal._take_in(line)
        journal.header = chain.header
        journal.now = chain.header["at"]
        journal.deaths = chain.header["deaths"]
        journal.seq = max(loaded.head.seq, chain.last)
        journal._prev = chain.last
        journal._measure(loaded, chain)
        done = (e for e in journal.entries.values() if "n" in e.data)
        journal.replay = deque(sorted(done, key=lambda entry: entry.data["n"]))
        if journal.replay:
            journal._completions = journal.replay[-1].data["n"]
        return journal

    def _take_in(self, line: bytes) -> None:
        data = frames.parse(line)
        if "path" in data:
            path = tuple((kind, name, at) for kind, name, at in data["path"])
            entry = Entry(key_of(path), path, data)
            self.entries[entry.key] = entry
            self._lines[entry.key] = line
        elif "state" in data:
            name = data["state"]
            if "value" in data:
                self.state[name] = dumps(data["value"])
                self._lines["state", name, None] = line
            else:
                self.state.pop(name, None)
                self._lines.pop(("state", name, None), None)
        elif "outbox" in data:
            self._take_in_send(data, line)
        else:
            name = next(iter(data), "")
            if name not in {"start", "progress", "end"}:
                raise JournalDamaged(f"the journal has an odd record: {line[:80]!r}")
            setattr(self, name, data[name])
            self._lines[name] = line

    def _take_in_send(self, data: dict[str, Any], line: bytes) -> None:
        found = data["outbox"]
        key = ("outbox", found, None)
        if "to" in data:
            body = b64decode(data["body"])
            to, name, at = data["to"], data["name"], data["at"]
            self.undelivered[found] = Envelope(to, found, name, body, at)
            self._lines[key] = line
        else:
            self.undelivered.pop(found, None)
            self._lines.pop(key, None)

    def _measure(self, loaded: Loaded, chain: frames.Chain) -> None:
        first = chain.parts[0].seq
        count = chain.parts[0].header["part"][1]
        sizes = {frame.seq: len(frame.body) for frame in loaded.frames}
        snapshot = range(first, first + count)
        self._snapshot_size = sum(sizes.get(seq, 0) for seq in snapshot)
        self._since_snapshot = sum(sizes.values()) - self._snapshot_size

    def under_way(self) -> Iterator[Entry]:
        """Yield the entries that are neither done nor given up."""
        for entry in self.entries.values():
            if entry.status in ("retrying", "started"):
                yield entry

    @property
    def status(self) -> Status:
        """What the last loaded flush said."""
        status: Status = self.header["status"]
        return status

    # --- changes ----------------------------------------------------------

    def tick(self) -> float:
        """Move the recorded time on to the clock's, never back; give it."""
        self.now = max(self.now, self.wiring.clock.now())
        return self.now

    def record(
        self,
        path: Path,
        status: str,
        *,
        key: Key,
        completion: bool = True,
        **fields: Any,
    ) -> Entry:
        """Set the one record of an operation; a completion takes the next number.

        Raises:
            ValueTooLarge: if the record is above the store's limit; nothing changed.
        """
        data: dict[str, Any] = {"path": path, "status": status}
        if completion:
            data["n"] = self._completions + 1
        data["at"] = self.tick()
        data.update(fields)
        self._put(key, data)
        if completion:
            self._completions += 1
        entry = Entry(key, path, data, self.mark)
        self.entries[key] = entry
        return entry

    def set_state(self, changes: dict[str, bytes | None]) -> None:
        """Take a step's changes of state: encoded values, None for a deleted key."""
        state = dict(self.state)
        for name, value in changes.items():
            if value is None:
                state.pop(name, None)
                self._put(("state", name, None), {"state": name})
                self._lines.pop(("state", name, None))
            else:
                state[name] = value
                self._put(("state", name, None), {"state": name, "value": loads(value)})
        self.state = state

    def check_size(self, size: int, what: str) -> None:
        """Refuse a value of `size` bytes that would not fit into a frame.

        Raises:
            ValueTooLarge: if so; names both sizes, in bytes.
        """
        if size > self.max_value:
            raise ValueTooLarge(
                what, f"{size} bytes are above the limit of {self.max_value} bytes"
            )

    def set_record(self, name: str, value: Any) -> None:
        """Set one of the single records: start, progress, end."""
        self._put(name, {name: value})
        setattr(self, name, value)

    def send(self, message: Envelope) -> None:
        """Let a message go with the next flush."""
        self._outbox.sends.append(message)
        self.dirty_bytes += len(message.body)
        if not self.wiring.store.limits.joins_sends:
            self.undelivered[message.id] = message
            body = b64encode(message.body).decode()
            record: dict[str, Any] = {"outbox": message.id, "to": message.to}
            record |= {"name": message.name, "body": body, "at": message.at}
            self._put(("outbox", message.id, None), record)

    def acknowledge(self, message_id: str) -> None:
        """Let a message leave the inbox with the next flush."""
        self._outbox.acks.append(message_id)

    def _put(self, key: LineKey, data: dict[str, Any]) -> None:
        line = dumps(data)
        if len(line) > self.max_value:
            what = show(data["path"]) if "path" in data else "the value"
            self.check_size(len(dumps(data.get("value"))), what)
        self.mark += 1
        self._lines[key] = line
        self._dirty[key] = line
        self.dirty_bytes += len(line)

    # --- flush --------------------------------------------------------------

    @property
    def dirty(self) -> bool:
        return bool(self._dirty or self._outbox.sends or self._outbox.acks)

    async def flush(self, rest: Rest, *, opens: bool = False) -> Sequence[Envelope]:
        """Write everything that is dirty, and how the instance rests, in one commit.

        Returns the messages that went out.

        Raises:
            Fenced: if another owner has written; nothing of this was.
            StoreUnavailable: if it could not be written, or the answer is not known.
        """
        commit = self._take(rest, opens=opens)
        owed = list(self.undelivered.values())
        mark, size = self.mark, sum(map(len, commit.frames))
        await self._committer.commit(commit, owed)
        for message in owed:
            del self.undelivered[message.id]
            self._put(("outbox", message.id, None), {"outbox": message.id})
            self._lines.pop(("outbox", message.id, None))
        self._prev = self.seq = commit.seq + len(commit.frames) - 1
        self.durable, self.written = mark, rest
        if commit.snapshot:
            self._snapshot_size, self._since_snapshot = size, 0
        else:
            self._since_snapshot += size
        return commit.sends

    def _is_snapshot_due(self) -> bool:
        if self._since_snapshot <= max(SNAPSHOT_FLOOR, self._snapshot_size):
            return False
        room = self.wiring.store.limits.max_group - self.max_value
        return sum(map(len, self._lines.values())) <= room

    def _take(self, rest: Rest, *, opens: bool) -> Commit:
        lines, self._dirty = self._dirty, {}
        outbox, self._outbox = self._outbox, Outbox()
        self.dirty_bytes = 0
        if lines:
            self.deaths = 0
        first = self.seq == 0
        snapshot = not first and self._is_snapshot_due()
        header = {
            "at": self.tick(),
            "status": rest.status,
            "wake_at": rest.wake_at,
            "awaiting": rest.awaiting,
            "due": self.now if self.undelivered else rest.due,
            "deaths": self.deaths,
            "version": self.wiring.version,
            "prev": 0 if snapshot else self._prev,
        }
        store = self.wiring.store
        return Commit(
            seq=self.seq + 1,
            frames=frames.build(
                header,
                list((self._lines if snapshot else lines).values()),
                store.limits.max_frame,
                self.wiring.codec,
            ),
            token=self.token,
            opens=opens,
            snapshot=snapshot or first,
            workflow=self.start["workflow"],
            status=rest.status,
            wake_at=rest.wake_at,
            awaiting=rest.awaiting,
            due=self.wiring.clock.now() if self.undelivered else rest.due,
            now=self.wiring.clock.now(),
            lease=rest.lease,
            worker=self.wiring.worker,
            acks=tuple(outbox.acks),
            sends=tuple(outbox.sends),
        )
