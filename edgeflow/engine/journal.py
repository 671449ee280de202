"""The journal of one instance: the only room that writes.

In memory it is a map of lines, one JSON record each, encoded when recorded. In
the store it is a log of frames; one flush writes all dirty lines as one frame,
together with the head, acknowledged messages and outgoing ones.

Swap, then write: a flush takes the dirty set away before it awaits, and what
changes meanwhile is in the next one. A flush that fails is tried again as the
same commit; if it fails for good the run is given up, and the journal with it.
"""

from __future__ import annotations

from base64 import b64encode
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edgeflow.engine import frames
from edgeflow.engine.arming import Net
from edgeflow.engine.committing import Committer
from edgeflow.engine.composing import NO_OUTBOX, Outbox, Place, alarms_of, compose
from edgeflow.engine.entries import Entries, Entry
from edgeflow.engine.lines import LineKey, Lines, outbox_key
from edgeflow.engine.queues import NOTHING
from edgeflow.engine.scope import Key, Path, key_of, show, stable_id
from edgeflow.engine.wholeness import Wholeness
from edgeflow.errors import ValueTooLarge
from edgeflow.values import dumps, loads

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable, Mapping, Sequence

    from edgeflow.engine.composing import Rest, Taken
    from edgeflow.engine.wiring import Wiring
    from edgeflow.store import Commit, Envelope, Status

SINGLE = {
    "start",
    "progress",
    "end",
    "cancel",
    "undo",
    "checkpoint",
    "generation",
    "recovered",
}
"""The records of which there is one, each an attribute of the journal."""

# What of a journal is mostly empty, and replaced where it is filled: a dict of its own
# for each would double what an instance at rest takes.
NO_RECORD: Mapping[str, Any] = MappingProxyType({})
NO_ENTRIES: dict[Key, Entry] = {}
NO_ENVELOPES: dict[LineKey, Envelope] = {}
NO_BIRTHS: dict[str, dict[str, Any]] = {}
NO_STATE: dict[str, bytes] = {}


class Journal:
    """Entries, state and status of one instance, and how they become durable."""

    __slots__ = (
        "_committer",
        "births",
        "cancel",
        "checkpoint",
        "completions",
        "deaths",
        "durable",
        "end",
        "entries",
        "generation",
        "header",
        "in_flight",
        "instance",
        "kept",
        "lines",
        "max_value",
        "now",
        "outbox",
        "prev",
        "progress",
        "recovered",
        "replay",
        "seq",
        "start",
        "state",
        "token",
        "undelivered",
        "undo",
        "wholeness",
        "wiring",
        "written",
    )

    def __init__(self, wiring: Wiring, instance: str, token: bytes) -> None:
        """Make an empty journal; `token` is what this owner will write with."""
        self.wiring = wiring
        self.instance = instance
        self.token = token
        self.entries = Entries()
        self.kept: dict[Key, Entry] = NO_ENTRIES
        """Outcomes from before a recovery: handed out when they are asked for."""
        self.state = NO_STATE
        """Committed or about to be; replaced, never changed, so drafts can keep it."""
        self.start = NO_RECORD
        self.progress: Any = None
        self.end = self.cancel = self.undo = NO_RECORD
        self.checkpoint = 0
        """Completions up to this one are not undone any more."""
        self.generation = 0
        """How often entries were forgotten, to be made anew under other keys."""
        self.recovered = 0
        """Completions up to this one are kept: they have lost their order."""
        self.header = NO_RECORD
        self.replay: deque[Entry] = NOTHING
        """Recorded completions, not yet handed out, in their order."""
        self.now = 0.0
        """The time recorded last: it never goes back."""
        self.seq = 0
        self.deaths = 0
        self.durable = 0
        """Which change of the journal was written last."""
        self.written: Rest | None = None
        self.completions = 0
        """How many completions were recorded."""
        self.prev = 0
        self.wholeness = Wholeness()
        self.in_flight: Commit | None = None
        """What is being written, and may be written by now."""
        self.outbox = NO_OUTBOX
        self.undelivered: dict[LineKey, Envelope] = NO_ENVELOPES
        """Sent, but not with the commit: to be delivered before they are forgotten."""
        self.births: dict[str, dict[str, Any]] = NO_BIRTHS
        """Children to be created once their births are durable, by the birth's id."""
        self._committer = Committer(wiring.store, wiring.clock, instance)
        limits = wiring.store.limits
        self.max_value = limits.max_frame - frames.HEADER_ROOM
        """The largest JSON of one value, in bytes."""
        self.lines = Lines(limits.max_group - self.max_value)

    def __repr__(self) -> str:
        return f"<journal of instance {self.instance!r} at frame {self.seq}>"

    @property
    def status(self) -> Status:
        """What the last loaded flush said."""
        status: Status = self.header["status"]
        return status

    # --- changes ----------------------------------------------------------

    def tick(self, now: float | None = None) -> float:
        """Move the recorded time on to the clock's, never back; give it."""
        if now is None:
            now = self.wiring.clock.now()
        if now > self.now:  # noqa: PLR1730  max() takes as long as all else here
            self.now = now
        return self.now

    def record(
        self,
        path: Path,
        status: str,
        *,
        key: Key,
        completion: bool = True,
        now: float | None = None,
        **fields: Any,
    ) -> Entry:
        """Set the one record of an operation; a completion takes the next number.

        Raises:
            ValueTooLarge: if the record is above the store's limit; nothing changed.
        """
        data: dict[str, Any] = {"path": path, "status": status}
        if completion:
            data["n"] = self.completions + 1
        else:
            data["after"] = self.completions
        known = self.entries.get(key)
        generation = self.generation if known is None else known.data.get("g", 0)
        if generation:
            data["g"] = generation
        data["at"] = self.tick(now)
        data.update(fields)
        return self._enter(key, path, data)

    def record_again(self, kept: Entry) -> Entry:
        """Give an outcome that was kept over a recovery its place in the new order."""
        data = self.lines.parsed(kept.key)
        del self.kept[kept.key]
        if data["n"] <= self.checkpoint:
            data.pop("undo", None)  # its new place is behind the checkpoint
        data["n"] = self.completions + 1
        return self._enter(kept.key, kept.path, data)

    def _enter(self, key: Key, path: Path, data: dict[str, Any]) -> Entry:
        self._put(key, data)
        if "n" in data:
            self.completions += 1
        entry = Entry(key, path, data, self.lines.mark)
        self.entries.put(entry)
        return entry

    def value(self, key: Key) -> Any:
        """Read the recorded value of an entry, which its delivery has taken away."""
        return self.lines.parsed(key).get("value")

    def stable_id(self, key: Key) -> str:
        """Give the id of what an operation makes: the same in every process (S15)."""
        known, birth = self.entries.get(key), self.start["birth"]
        generation = self.generation if known is None else known.data.get("g", 0)
        parts = (birth, generation, key) if generation else (birth, key)
        return stable_id(*parts)

    def forget(self, keys: Iterable[Key]) -> None:
        """Delete these entries with the next flush."""
        paths: list[Path] = []
        for key in keys:
            entry = self.entries[key]
            self.entries.drop(key)
            self.kept.pop(key, None)
            if self.lines.drop(key):
                paths.append(entry.path)
        if paths:
            self._note("forget", {"forget": paths})

    def prune(self, loop: Path, to: int) -> None:
        """Delete the turns of a loop up to `to`, but for what an undo may need."""
        gone = self.entries.prune(key_of(loop), to)
        written = [self.lines.drop(key) for key in gone]
        if any(written):
            self._note("prune", {"prune": loop, "to": to})

    def forget_survivors(self) -> None:
        """Delete what pruned turns have left for an undo that is not to be any more."""
        self.forget(list(self.entries.survivors))

    def set_state(self, changes: dict[str, bytes | None]) -> None:
        """Take a step's changes of state: encoded values, None for a deleted key."""
        state = dict(self.state)
        for name, value in changes.items():
            if value is None:
                state.pop(name, None)
                self.lines.drop(("state", name, None))
                self.lines.note(("state", name, None), dumps({"state": name}))
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
        """Set one of the records of which there is one: see SINGLE."""
        self._put(name, {name: value})
        setattr(self, name, value)

    def send(self, message: Envelope) -> None:
        """Let a message go with the next flush."""
        self.outbox = self.outbox or Outbox()
        self.outbox.sends.append(message)
        self.lines.bytes += len(message.body)
        if not self.wiring.store.limits.joins_sends:
            key = outbox_key(message.to, message.id)
            self.undelivered = self.undelivered or {}
            self.undelivered[key] = message
            body = b64encode(message.body).decode()
            record: dict[str, Any] = {"outbox": message.id, "to": message.to}
            record |= {"name": message.name, "body": body, "at": message.at}
            self._put(key, record)

    def bear(self, birth: str, record: dict[str, Any]) -> None:
        """Let a child be created after the next flush; until then it does not rest."""
        self.births = self.births or {}
        self.births[birth] = record
        self._put(("birth", birth, None), {"birth": birth, **record})

    def unbear(self, birth: str) -> bool:
        """Take a birth back; False: it may be written, or the child exists."""
        if not self.lines.is_new(("birth", birth, None)):
            return False
        self.lines.drop(("birth", birth, None))
        del self.births[birth]
        return True

    def born(self, birth: str) -> None:
        """Note that a child was created."""
        del self.births[birth]
        self.lines.drop(("birth", birth, None))
        self.lines.note(("birth", birth, None), dumps({"birth": birth}))

    def acknowledge(self, message_id: str) -> None:
        """Let a message leave the inbox with the next flush."""
        self.outbox = self.outbox or Outbox()
        self.outbox.acks.append(message_id)

    def restore(self, message_id: str, body: bytes) -> None:
        """Let a consumed message be unread again with the next flush."""
        self.outbox = self.outbox or Outbox()
        self.outbox.restored[message_id] = body

    def _put(self, key: LineKey, data: dict[str, Any]) -> None:
        line = dumps(data)
        if len(line) > self.max_value:
            what = show(data["path"]) if "path" in data else "the value"
            self.check_size(len(dumps(data.get("value"))), what)
        self.lines.set(key, line)

    def _note(self, what: str, data: dict[str, Any]) -> None:
        self.lines.note((what, str(self.mark), None), dumps(data))

    # --- flush --------------------------------------------------------------

    @property
    def pending(self) -> dict[Key, Entry]:
        """The entries that are under way."""
        return self.entries.pending

    @property
    def mark(self) -> int:
        """How many changes there were."""
        return self.lines.mark

    @property
    def dirty_bytes(self) -> int:
        return self.lines.bytes

    @property
    def dirty(self) -> bool:
        return bool(self.lines or self.outbox)

    async def flush(self, rest: Rest, *, opens: bool = False) -> Sequence[Envelope]:
        """Write everything that is dirty, and how the instance rests, in one commit.

        Returns the messages that went out.

        Raises:
            Fenced: if another owner has written; nothing of this was.
            StoreUnavailable: if it could not be written, or the answer is not known.
        """
        return await self.write(self.take(rest, opens=opens))

    async def write(self, taken: Taken) -> Sequence[Envelope]:
        """Write what was taken; see `flush`."""
        commit, rest, mark, owed = taken
        net = None
        if self.wiring.arm is not None:
            net = Net(self.wiring, alarms_of(self.instance, commit, rest))
            await net.spread()
        joined = await self._committer.commit(commit)
        if owed:
            await self._committer.deliver(owed, joined)
        with self.wholeness:
            for message in owed:
                key = outbox_key(message.to, message.id)
                del self.undelivered[key]
                self.lines.drop(key)
                self.lines.note(key, dumps({"outbox": message.id, "to": message.to}))
            self.prev = self.seq = commit.last
            self.in_flight = None
            self.durable, self.written = mark, rest
        self.lines.wrote(sum(map(len, commit.frames)), snapshot=commit.snapshot)
        if net is not None:
            await net.tighten()
        return commit.sends

    def take(self, rest: Rest, *, opens: bool = False) -> Taken:
        """Take what is dirty, in the moment to which `rest` fits."""
        first = self.seq == 0
        alone = self.prev == 0  # there is nothing to build on, or it is replaced
        snapshot = not first and (alone or self.lines.is_snapshot_due)
        if self.lines:
            self.deaths = 0
        place = Place(
            after=self.seq,
            prev=self.prev,
            deaths=self.deaths,
            opens=opens,
            snapshot=snapshot,
        )
        with self.wholeness:
            outbox = self.outbox
            if outbox:
                self.outbox = NO_OUTBOX
            lines = self.lines.take(snapshot=snapshot)
            commit = compose(self, rest, lines, outbox, place)
            self.in_flight = commit
        return commit, rest, self.mark, list(self.undelivered.values())
