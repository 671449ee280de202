"""The journal of one instance: the only room that writes.

In memory it is a map of lines, one JSON record each, encoded when recorded. In
the store it is a log of frames; one flush writes all dirty lines as one frame,
together with the head, acknowledged messages and outgoing ones.

Swap, then write: a flush takes the dirty set away before it awaits, and what
changes meanwhile is in the next one. A flush that fails is tried again as the
same commit; if it fails for good the run is given up, and the journal with it.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections import deque
from typing import TYPE_CHECKING, Any

from edgeflow.engine import frames
from edgeflow.engine.arming import Net
from edgeflow.engine.committing import Committer
from edgeflow.engine.composing import Outbox, Place, alarms_of, compose
from edgeflow.engine.entries import Entries, Entry
from edgeflow.engine.lines import LineKey, Lines, outbox_key
from edgeflow.engine.scope import Key, Path, key_of, show, stable_id
from edgeflow.errors import ValueTooLarge
from edgeflow.values import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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

RESCUES = 20
RESCUE_PAUSE = 0.002
"""How often, and how many seconds apart, a thread looks for a moment of rest."""


class Journal:
    """Entries, state and status of one instance, and how they become durable."""

    def __init__(self, wiring: Wiring, instance: str, token: bytes) -> None:
        """Make an empty journal; `token` is what this owner will write with."""
        self.wiring = wiring
        self.instance = instance
        self.token = token
        self.entries = Entries()
        self.kept: dict[Key, Entry] = {}
        """Outcomes from before a recovery: handed out when they are asked for."""
        self.state: dict[str, bytes] = {}
        """Committed or about to be; replaced, never changed, so drafts can keep it."""
        self.start: dict[str, Any] = {}
        self.progress: Any = None
        self.end: dict[str, Any] = {}
        self.cancel: dict[str, Any] = {}
        self.undo: dict[str, Any] = {}
        self.checkpoint = 0
        """Completions up to this one are not undone any more."""
        self.generation = 0
        """How often entries were forgotten, to be made anew under other keys."""
        self.recovered = 0
        """Completions up to this one are kept: they have lost their order."""
        self.header: dict[str, Any] = {}
        self.replay: deque[Entry] = deque()
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
        self.is_whole = True
        """Whether the engine is not in the middle of a change: for a thread to see."""
        self.turns = 0
        """How often that changed."""
        self.in_flight: Commit | None = None
        """What is being written, and may be written by now."""
        self._outbox = Outbox()
        self.undelivered: dict[LineKey, Envelope] = {}
        """Sent, but not with the commit: to be delivered before they are forgotten."""
        self.births: dict[str, dict[str, Any]] = {}
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

    def change(self) -> Change:
        """Mark changes that are durable together or not at all."""
        return Change(self, is_whole=False)

    def lent(self) -> Change:
        """Mark, within a change, where code of others runs, and may be stuck."""
        return Change(self, is_whole=True)

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
            data["n"] = self.completions + 1
        else:
            data["after"] = self.completions
        known = self.entries.get(key)
        generation = self.generation if known is None else known.data.get("g", 0)
        if generation:
            data["g"] = generation
        data["at"] = self.tick()
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
        self.completions += "n" in data
        entry = Entry(key, path, data, self.mark)
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
        self._outbox.sends.append(message)
        self.lines.bytes += len(message.body)
        if not self.wiring.store.limits.joins_sends:
            key = outbox_key(message.to, message.id)
            self.undelivered[key] = message
            body = b64encode(message.body).decode()
            record: dict[str, Any] = {"outbox": message.id, "to": message.to}
            record |= {"name": message.name, "body": body, "at": message.at}
            self._put(key, record)

    def bear(self, birth: str, record: dict[str, Any]) -> None:
        """Let a child be created after the next flush; until then it does not rest."""
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
        self._outbox.acks.append(message_id)

    def restore(self, message_id: str, body: bytes) -> None:
        """Let a consumed message be unread again with the next flush."""
        self._outbox.restored[message_id] = body

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
        return bool(self.lines or self._outbox.sends or self._outbox.acks)

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
        size = sum(map(len, commit.frames))
        net = Net(self.wiring, alarms_of(self.instance, commit, rest))
        await net.spread()
        await self._committer.commit(commit, owed)
        with self.change():
            for message in owed:
                key = outbox_key(message.to, message.id)
                del self.undelivered[key]
                self.lines.drop(key)
                self.lines.note(key, dumps({"outbox": message.id, "to": message.to}))
            self.prev = self.seq = commit.last
            self.in_flight = None
            self.durable, self.written = mark, rest
        self.lines.wrote(size, snapshot=commit.snapshot)
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
        with self.change():
            outbox, self._outbox = self._outbox, Outbox()
            lines = self.lines.take(snapshot=snapshot)
            commit = compose(self, rest, lines, outbox, place)
            self.in_flight = commit
        return commit, rest, self.mark, list(self.undelivered.values())

    def rescued(self, rest: Rest) -> list[Commit]:
        """Give the commits that the store lacks; nothing is taken.

        For a thread, while the event loop is stuck in code of others, or slow: the
        one in flight, which may be written, and one of what is dirty. None, if the
        engine is caught in the middle of a change: that is done again later.
        """
        for _ in range(RESCUES):
            turns, mark, flying = self.turns, self.mark, self.in_flight
            lines, outbox = self.lines.dirty(), self._outbox.copy()
            place = Place(
                after=self.seq if flying is None else flying.last,
                prev=self.prev if flying is None else flying.last,
                deaths=0 if lines else self.deaths + 1,
            )
            commit = compose(self, rest, lines, outbox, place)
            if self.is_whole and (turns, mark) == (self.turns, self.mark):
                return [commit] if flying is None else [flying, commit]
            time.sleep(RESCUE_PAUSE)
        return []


class Change:
    """Says, while it is entered, whether a journal is being changed; may be nested."""

    __slots__ = ("_before", "_is_whole", "_journal")

    def __init__(self, journal: Journal, *, is_whole: bool) -> None:
        """Say of `journal` that it is, or is not, whole."""
        self._journal = journal
        self._is_whole = is_whole
        self._before = True

    def __enter__(self) -> None:
        self._before, self._journal.is_whole = self._journal.is_whole, self._is_whole
        self._journal.turns += 1

    def __exit__(self, *_: object) -> None:
        self._journal.is_whole = self._before
        self._journal.turns += 1
